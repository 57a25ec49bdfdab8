-- grain: one row per checkpoint: mean loss of the group minus the baseline's, in nats, with a 95 %
-- band paired by source document; no band where either is in one source only
create macro difference(token_group, baseline) as table
with paired as (
    select
        checkpoint,
        first.mean_loss as first_mean,
        second.mean_loss as second_mean,
        coalesce(first.influence, 0) - coalesce(second.influence, 0) as influence
    from group_influence(token_group) as first
    full join group_influence(baseline) as second using (checkpoint, source)
),
errors as (
    select
        checkpoint,
        any_value(first_mean) - any_value(second_mean) as difference,
        sqrt(count(*) / (count(*) - 1) * sum(influence ** 2)) as standard_error,
        case when count(first_mean) > 1 and count(second_mean) > 1 then count(*) - 1 end as degrees
    from paired
    group by checkpoint
)
select
    checkpoint,
    difference,
    difference - quantile * standard_error as low,
    difference + quantile * standard_error as high
from errors
left join t_quantiles on degrees_of_freedom = degrees
order by checkpoint
