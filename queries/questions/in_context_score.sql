-- Does the model learn to use its context, and when?
-- grain: one row per checkpoint: mean loss at position 500 minus at position 50, with a 95% band.
-- The more negative, the more it gains from a long context; NULL if no doc has 500 tokens.
select checkpoint, difference as in_context_score, low, high
from in_context_score()
order by checkpoint;
