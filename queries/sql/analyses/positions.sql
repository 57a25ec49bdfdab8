-- grain: one row per range of positions and checkpoint; the mean of the loss (nats) or another
-- measure
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
select first_position, last_position, checkpoint, avg({value}) as {mean}, count(*) as n_tokens
from {relation}
join ranged using ("row")
group by all
order by first_position, checkpoint;
