-- grain: one row per checkpoint and source document with a member of the group (a view of tokens);
-- left_out is by how much the mean falls without that source, in nats (NULL if it is the only one).
-- Sums by doc first, since DuckDB 2.0 joins and groups by an integer several times faster.
create macro leave_one_out(token_group) as table
with members as (
    select m."row", m.doc from query_table(token_group) as m
),
doc_sums as (
    select checkpoint, doc, count(*) as n, sum(loss) as total
    from loss_rows
    join members using ("row")
    group by all
),
sums as (
    select s.checkpoint, d.source, sum(s.n) as n, sum(s.total) as total
    from doc_sums as s
    join docs as d using (doc)
    group by all
),
means as (
    select
        checkpoint,
        sum(total) / sum(n) as mean_loss,
        sum(n)::bigint as n_tokens,
        count(*) as n_docs
    from sums
    group by all
)
select
    checkpoint, source, mean_loss, n_tokens, n_docs, n::double as n,
    (total - n * mean_loss) / nullif(n_tokens - n, 0) as left_out
from sums
join means using (checkpoint)
