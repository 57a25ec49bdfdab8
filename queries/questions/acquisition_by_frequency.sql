-- Are frequent tokens learned earlier than rare ones?
-- grain: one row per band of frequency in the text, each ten times the one before.
-- acquisition: the first step at which a type's mean loss is half-way from its start to its minimum.
with means as (
    select token_id, checkpoint, count(*) as n_tokens, avg(loss) as mean_loss
    from losses
    group by all
),
half_way as (
    select
        token_id,
        any_value(n_tokens) as n_tokens,
        (arg_min(mean_loss, checkpoint) + min(mean_loss)) / 2 as half_way_loss
    from means
    group by token_id
),
acquired as (
    select token_id, half_way.n_tokens, min(checkpoint) as acquisition
    from means
    join half_way using (token_id)
    where mean_loss <= half_way_loss
    group by all
)
select
    pow(10, floor(log10(n_tokens)))::bigint as at_least,
    at_least * 10 - 1 as at_most,
    count(*) as n_types,
    quantile_cont(acquisition, 0.25) as lower_quartile,
    median(acquisition) as median_acquisition,
    quantile_cont(acquisition, 0.75) as upper_quartile
from acquired
group by all
order by at_least desc;
