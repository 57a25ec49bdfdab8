-- Which single tokens did the model once predict well, and no longer does?
-- grain: one row per token occurrence, the 50 furthest above their lowest loss at the end, in nats.
with history as (
    select
        "row",
        min(loss) as lowest_loss,
        arg_min(checkpoint, loss) as best_step,
        arg_max(loss, checkpoint) as last_loss
    from loss_rows
    group by all
)
select
    "row", source, doc, "position", token_str,
    right(text[1:char_start], 40) as before,
    best_step, lowest_loss, last_loss,
    last_loss - lowest_loss as forgetting
from history
join tokens using ("row")
order by forgetting desc, "row"
limit 50;
