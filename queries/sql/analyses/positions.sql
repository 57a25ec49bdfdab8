-- grain: one row per range of positions and checkpoint; mean loss in nats
with edges as (
    select unnest([{edges}]) as edge
),
ranges as (
    select edge as first_position, lead(edge) over (order by edge) - 1 as last_position from edges
),
ranged as (
    select "row", first_position, last_position
    from token_group
    join ranges on "position" between first_position and last_position
)
select first_position, last_position, checkpoint, avg(loss) as mean_loss, count(*) as n_tokens
from loss_rows
join ranged using ("row")
group by all
order by first_position, checkpoint;
