-- How much does it help that a token stood in the doc before, and how often?
-- grain: one row per number of earlier occurrences (8 stands for 8 and more), at the last checkpoint.
with last as (
    select max(checkpoint) as checkpoint from loss_rows
)
select
    least(seen_before, 8) as earlier_occurrences,
    avg(loss) as mean_loss,
    avg(loss) filter (where is_word_start) as mean_loss_of_word_starts,
    count(*) as n_tokens
from loss_rows
join last using (checkpoint)
join tokens using ("row")
group by all
order by earlier_occurrences;
