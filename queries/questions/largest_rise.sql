-- Which tokens got worse when the mean loss rose most above its best value so far?
-- grain: one row per token occurrence, the 50 whose loss rose most, in nats.
-- The region: from the low point before the largest rise to the peak. No rows for a run that never rises.
with so_far as (
    select
        checkpoint,
        mean_loss - min(mean_loss) over by_step as rise,
        arg_min(checkpoint, mean_loss) over by_step as best_step
    from trajectory('all_tokens')
    window by_step as (order by checkpoint)
),
peak as (
    select checkpoint as peak_step, best_step
    from so_far
    where rise > 0
    order by rise desc, checkpoint
    limit 1
)
select best_step, peak_step, changes.*
from zoom((select best_step from peak), (select peak_step from peak)) as changes
cross join peak
where change > 0
order by change desc, "row"
limit 50;
