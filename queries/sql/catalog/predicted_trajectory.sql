-- grain: one row per checkpoint that has predictions: what the model predicted in the place of the
-- group's tokens, on average; the group is the name of a view of tokens
create or replace macro predicted_trajectory(token_group) as table
select
    checkpoint,
    token_group as token_group,
    avg((rank = 0)::integer) as accuracy,
    avg(rank) as mean_rank,
    avg(entropy) as mean_entropy,
    count(*) as n_tokens
from prediction_rows
where "row" in (select "row" from query_table(token_group))
group by checkpoint
order by checkpoint
