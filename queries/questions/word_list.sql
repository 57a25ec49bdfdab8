-- How are the words of a list learned? Replace the list with your own.
-- grain: one row per word and checkpoint; losses in nats, of all tokens that the word is split into.
with words as (
    select unnest(['we', 'you', 'it', 'they', 'of', 'to', 'people', 'world']) as word
),
members as materialized (
    select t."row", w.word, t.source
    from tokens as t
    join words as w on lower(t.word) = w.word
)
select
    word, checkpoint,
    avg(loss) as mean_loss,
    count(*) as n_tokens,
    count(distinct source) as n_docs
from loss_rows
join members using ("row")
group by all
order by word, checkpoint;
