-- grain: one row per token type that occurs at least {min_count} times in the group; mean change in
-- loss from step {first} to {last} (nats); the standard deviation is that of its occurrences
select
    t.token_id,
    min_by(t.token_str, t."row") as token_str,
    count(*) as n_tokens,
    avg(z.change) as change,
    stddev_samp(z.change) as standard_deviation
from zoom({first}, {last}) as z
semi join token_group as g on g."row" = z."row"
join tokens as t on t."row" = z."row"
group by t.token_id
having count(*) >= {min_count}
order by avg(z.change), t.token_id;
