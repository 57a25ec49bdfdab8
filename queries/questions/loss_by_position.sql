-- How much does a longer context help the trained model?
-- grain: one row per range of 32 positions, at the last checkpoint; losses in nats.
with last as (
    select max(checkpoint) as checkpoint from losses
)
select
    "position" // 32 * 32 as first_position,
    first_position + 31 as last_position,
    avg(loss) as mean_loss,
    median(loss) as median_loss,
    count(*) as n_tokens
from losses
join last using (checkpoint)
group by all
order by first_position;
