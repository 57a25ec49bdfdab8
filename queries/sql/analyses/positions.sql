-- grain: one row per range of positions and checkpoint; mean loss in nats
with edges as (
    select unnest([{edges}]) as edge
),
ranges as (
    select edge as first_position, lead(edge) over (order by edge) - 1 as last_position from edges
),
ranged as (
    select g."row", r.first_position, r.last_position
    from token_group as g
    join ranges as r on g."position" between r.first_position and r.last_position
)
select first_position, last_position, checkpoint, avg(loss) as mean_loss, count(*) as n_tokens
from loss_rows
join ranged using ("row")
group by all
order by first_position, checkpoint;
