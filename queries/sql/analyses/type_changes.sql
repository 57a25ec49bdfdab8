-- grain: one row per token type that occurs at least {min_count} times in the group; mean change in
-- loss from step {first} to {last} (nats); the standard deviation is that of its occurrences
select
    token_id,
    min_by(tokens.token_str, "row") as token_str,
    count(*) as n_tokens,
    avg(change) as change,
    stddev_samp(change) as standard_deviation
from zoom({first}, {last})
semi join token_group using ("row")
join tokens using ("row")
group by token_id
having count(*) >= {min_count}
order by change, token_id;
