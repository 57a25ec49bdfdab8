-- grain: one row per checkpoint: mean loss of the group over the baseline's, with a 95 % band paired
-- by source document; no band where either is in one source only
create macro ratio(token_group, baseline) as table
with paired as (
    select
        checkpoint,
        first.mean_loss as first_mean,
        second.mean_loss as second_mean,
        coalesce(first.influence, 0) as first_influence,
        coalesce(second.influence, 0) as second_influence
    from group_influence(token_group) as first
    full join group_influence(baseline) as second using (checkpoint, source)
),
scaled as (
    select
        *,
        max(first_mean) over one_step / max(second_mean) over one_step as first_over_second
    from paired
    window one_step as (partition by checkpoint)
),
errors as (
    select
        checkpoint,
        any_value(first_mean) / any_value(second_mean) as ratio,
        sqrt(
            count(*) / (count(*) - 1)
            * sum((first_influence - first_over_second * second_influence) ** 2)
        ) / any_value(second_mean) as standard_error,
        case when count(first_mean) > 1 and count(second_mean) > 1 then count(*) - 1 end as degrees
    from scaled
    group by checkpoint
)
select
    checkpoint,
    ratio,
    ratio - quantile * standard_error as low,
    ratio + quantile * standard_error as high
from errors
left join t_quantiles on degrees_of_freedom = degrees
order by checkpoint
