-- grain: one row per checkpoint: the group's mean loss in nats with the 95% band of
-- queries/stats/bands.py; the group is the name of a view of tokens
create macro trajectory(token_group) as table
with errors as (
    select
        checkpoint, mean_loss, n_tokens, n_docs,
        sum(n) ** 2 / sum(n ** 2) as effective,
        sqrt((n_docs - 1) / n_docs * sum(left_out ** 2)) as standard_error
    from leave_one_out(token_group)
    group by checkpoint, mean_loss, n_tokens, n_docs
)
select
    checkpoint,
    token_group as token_group,
    mean_loss,
    mean_loss - quantile * standard_error as low,
    mean_loss + quantile * standard_error as high,
    n_tokens,
    n_docs,
    effective as n_docs_effective,
    cannot_tell(effective) as verdict
from errors
left join t_quantiles on tenths = tenths(effective - 1, effective)
order by checkpoint
