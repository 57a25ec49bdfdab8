-- grain: one row per token occurrence and checkpoint; loss in nats
select "row", token_str, checkpoint, loss
from loss_rows
join tokens using ("row")
where "row" in ({rows})
order by "row", checkpoint;
