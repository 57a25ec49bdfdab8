-- Are tokens easier to predict the more often they occurred earlier in the doc?
-- grain: one row per number of earlier occurrences (8 stands for 8 and more), at the last checkpoint.
with last as (
    select max(checkpoint) as checkpoint from loss_rows
)
select
    least(t.seen_before, 8) as earlier_occurrences,
    avg(l.loss) as mean_loss,
    avg(l.loss) filter (where t.is_word_start) as mean_loss_of_word_starts,
    count(*) as n_tokens
from loss_rows as l
join last on last.checkpoint = l.checkpoint
join tokens as t on t."row" = l."row"
group by all
order by earlier_occurrences;
