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
        count(*) as n_tokens,
        count(distinct source) as n_docs
    from loss_rows
    join centred using ("row")
    group by checkpoint
),
sums as (
    select
        checkpoint, slope, spread, n_tokens, n_docs,
        count(*) as n,
        sum(off) as total_off,
        sum(off * off) as own_spread,
        sum(loss - mean_loss - slope * off) as residual,
        sum(off * (loss - mean_loss - slope * off)) as weighted
    from loss_rows
    join centred using ("row")
    join fits using (checkpoint)
    group by checkpoint, slope, spread, n_tokens, n_docs, source
),
slopes as (
    select
        *,
        (total_off * residual + (n_tokens - n) * weighted)
        / nullif((n_tokens - n) * (spread - own_spread) - total_off ** 2, 0) as left_out
    from sums
),
errors as (
    select
        checkpoint, slope,
        spread ** 2 / sum(own_spread ** 2) as effective,
        sqrt((n_docs - 1) / n_docs * sum(left_out ** 2)) as standard_error
    from slopes
    group by checkpoint, slope, spread, n_tokens, n_docs
)
select
    checkpoint,
    slope,
    slope - quantile * standard_error as low,
    slope + quantile * standard_error as high,
    effective as n_docs_effective,
    cannot_tell(effective) as verdict
from errors
left join t_quantiles on tenths = tenths(effective - 1, effective)
order by checkpoint;
