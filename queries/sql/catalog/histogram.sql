-- grain: one row per bin of change in loss from step {first} to {last}, in nats; zero is an edge
with changes as (
    select z.change
    from zoom({first}, {last}) as z
    semi join token_group as g on g."row" = z."row"
),
reach as (
    select coalesce(nullif(max(abs(change)), 0), 1)::double as reach from changes
),
binned as (
    -- the highest change belongs to the last bin
    select least(floor((change + reach) / (2 * reach) * {bins}), {bins} - 1)::int as bin
    from changes, reach
),
counts as (
    select bin, count(*) as n_tokens from binned group by all
)
select
    2 * reach * bin / {bins} - reach as low,
    2 * reach * (bin + 1) / {bins} - reach as high,
    coalesce(n_tokens, 0) as n_tokens
from range({bins}) as bins(bin)
cross join reach
left join counts using (bin)
order by bin;
