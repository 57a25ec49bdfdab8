-- grain: one row per checkpoint: mean loss of the group minus the baseline's, in nats, with a 95%
-- band paired by source document; no band where either has fewer than 4 effective documents
create macro difference(token_group, baseline) as table
with paired as (
    select
        checkpoint,
        first.mean_loss as first_mean,
        second.mean_loss as second_mean,
        first.n_tokens as first_tokens,
        second.n_tokens as second_tokens,
        coalesce(first.n, 0) as first_n,
        coalesce(second.n, 0) as second_n,
        coalesce(first.left_out, 0) as first_left,
        coalesce(second.left_out, 0) as second_left
    from leave_one_out(token_group) as first
    full join leave_one_out(baseline) as second using (checkpoint, source)
),
scaled as (
    select
        *,
        first_n / max(first_tokens) over one_step ** 2
        + second_n / max(second_tokens) over one_step ** 2 as token_variance
    from paired
    window one_step as (partition by checkpoint)
),
errors as (
    select
        checkpoint,
        any_value(first_mean) - any_value(second_mean) as difference,
        (count(*) - 1) / count(*) as jackknife,
        sqrt(jackknife * sum((first_left - second_left) ** 2)) as standard_error,
        jackknife * sum(first_left ** 2) as first_variance,
        jackknife * sum(second_left ** 2) as second_variance,
        sum(first_n) ** 2 / sum(first_n ** 2) as first_effective,
        sum(second_n) ** 2 / sum(second_n ** 2) as second_effective,
        sum(token_variance) ** 2 / sum(token_variance ** 2) - 1 as paired_degrees,
        least(first_effective, second_effective) as effective
    from scaled
    group by checkpoint
),
freedom as (
    select
        *,
        least(
            paired_degrees,
            (first_variance + second_variance) ** 2 / nullif(
                first_variance ** 2 / nullif(first_effective - 1, 0)
                + second_variance ** 2 / nullif(second_effective - 1, 0),
                0
            )
        ) as degrees
    from errors
)
select
    checkpoint,
    difference,
    difference - quantile * standard_error as low,
    difference + quantile * standard_error as high,
    effective as n_docs_effective,
    cannot_tell(effective) as verdict
from freedom
left join t_quantiles on tenths = tenths(degrees, effective)
order by checkpoint
