-- grain: one row per checkpoint: nats of mean loss for each doubling of the position, by least
-- squares, with the 95% band of queries/analyses/positions.py, over source documents
with centred as (
    select
        t."row", t.source, log2(t."position") - avg(log2(t."position")) over () as off
    from token_group as t
),
fits as (
    select
        checkpoint,
        sum(off * loss) / sum(off * off) as slope,
        avg(loss) as mean_loss,
        sum(off * off) as spread,
        count(distinct source) as n_docs
    from loss_rows
    join centred using ("row")
    group by checkpoint
),
influences as (
    select
        checkpoint,
        slope,
        n_docs,
        sum(off * (loss - mean_loss - slope * off)) / any_value(spread) as influence
    from loss_rows
    join centred using ("row")
    join fits using (checkpoint)
    group by checkpoint, slope, n_docs, source
),
errors as (
    select
        checkpoint, slope, n_docs,
        sqrt(n_docs / (n_docs - 1) * sum(influence ** 2)) as standard_error
    from influences
    group by checkpoint, slope, n_docs
)
select
    checkpoint,
    slope,
    slope - quantile * standard_error as low,
    slope + quantile * standard_error as high
from errors
left join t_quantiles on degrees_of_freedom = n_docs - 1
order by checkpoint;
