-- Which source documents stay hardest to predict?
-- grain: one row per source document; losses in nats at the first and last checkpoint, hardest first.
with means as (
    select d.source, l.checkpoint, count(*) as n_tokens, avg(l.loss) as mean_loss
    from losses as l
    join docs as d using (doc)
    group by all
)
select
    source,
    any_value(means.n_tokens) as n_tokens,
    arg_min(mean_loss, checkpoint) as first_loss,
    arg_max(mean_loss, checkpoint) as last_loss,
    min(mean_loss) as lowest_loss
from means
group by source
order by last_loss desc, source;
