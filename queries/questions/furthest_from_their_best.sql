-- Which tokens did the model once predict well but no longer does?
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
    t."row", t.source, t.doc, t."position", t.token_str,
    right(t.text[1:t.char_start], 40) as before,
    h.best_step, h.lowest_loss, h.last_loss,
    h.last_loss - h.lowest_loss as forgetting
from history as h
join tokens as t on t."row" = h."row"
order by h.last_loss - h.lowest_loss desc, t."row"
limit 50;
