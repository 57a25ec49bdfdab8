-- Which token types does the model forget most?
-- grain: one row per token type with at least 20 occurrences, the 50 forgotten most.
-- forgetting: the type's mean loss at the last checkpoint minus its lowest at any, in nats.
with means as (
    select token_id, token_str, checkpoint, count(*) as n_tokens, avg(loss) as mean_loss
    from losses
    group by all
    having count(*) >= 20
)
select
    token_id,
    token_str,
    any_value(n_tokens) as n_tokens,
    arg_min(checkpoint, mean_loss) as best_step,
    min(mean_loss) as lowest_loss,
    arg_max(mean_loss, checkpoint) as last_loss,
    last_loss - lowest_loss as forgetting
from means
group by token_id, token_str
order by forgetting desc, token_id
limit 50;
