-- grain: one row per token occurrence: its loss at two checkpoints, change = last minus first (nats)
create macro zoom(first, last) as table
select
    "row", token_str, doc, "position", source,
    before.loss as loss_first,
    after.loss as loss_last,
    loss_last - loss_first as change
from tokens
join loss_rows as before using ("row")
join loss_rows as after using ("row")
where before.checkpoint = first and after.checkpoint = last
order by "row"
