-- grain: one row per checkpoint: the group's mean loss in nats with the 95 % band of
-- queries/stats/bands.py; the group is the name of a view of tokens
create macro trajectory(token_group) as table
with errors as (
    select
        checkpoint, mean_loss, n_tokens, n_docs,
        sqrt(n_docs / (n_docs - 1) * sum(influence ** 2)) as standard_error
    from group_influence(token_group)
    group by checkpoint, mean_loss, n_tokens, n_docs
)
select
    checkpoint,
    token_group as token_group,
    mean_loss,
    mean_loss - quantile * standard_error as low,
    mean_loss + quantile * standard_error as high,
    n_tokens,
    n_docs
from errors
left join t_quantiles on degrees_of_freedom = n_docs - 1
order by checkpoint
