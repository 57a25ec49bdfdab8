-- grain: one row per token occurrence: its loss at two checkpoints, change = last minus first (nats)
create macro zoom(first, last) as table
select
    t."row", t.token_str, t.doc, t."position", t.source,
    a.loss as loss_first,
    b.loss as loss_last,
    b.loss - a.loss as change
from tokens as t
join loss_rows as a on a."row" = t."row"
join loss_rows as b on b."row" = t."row"
where a.checkpoint = first and b.checkpoint = last
order by t."row"
