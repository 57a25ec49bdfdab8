-- Which tokens changed most when the mean loss fell fastest?
-- grain: one row per token occurrence, the 50 whose loss moved most either way, in nats.
-- The region: the two neighbouring checkpoints between which the mean loss over all tokens fell most.
with steps as (
    select
        checkpoint as last_step,
        lag(checkpoint) over by_step as first_step,
        mean_loss - lag(mean_loss) over by_step as change_of_mean
    from trajectory('all_tokens')
    window by_step as (order by checkpoint)
),
steepest as (
    select * from steps order by change_of_mean, last_step limit 1
)
select first_step, last_step, changes.*
from zoom((select first_step from steepest), (select last_step from steepest)) as changes
cross join steepest
order by abs(change) desc, "row"
limit 50;
