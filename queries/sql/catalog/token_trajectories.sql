-- grain: one row per token occurrence and checkpoint; loss in nats
select t."row", t.token_str, l.checkpoint, l.loss
from loss_rows as l
join tokens as t using ("row")
where t."row" in ({rows})
order by t."row", l.checkpoint;
