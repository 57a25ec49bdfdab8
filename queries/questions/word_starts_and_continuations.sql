-- Is the rest of a word learned before its beginning?
-- grain: one row per checkpoint: mean losses in nats, and continuations minus starts with a 95% band.
select
    checkpoint,
    starts.mean_loss as word_starts,
    continuations.mean_loss as word_continuations,
    gap.difference, gap.low, gap.high
from trajectory('word_start') as starts
join trajectory('word_continuation') as continuations using (checkpoint)
join difference('word_continuation', 'word_start') as gap using (checkpoint)
order by checkpoint;
