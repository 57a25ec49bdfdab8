-- When does the model begin to copy from its context?
-- grain: one row per checkpoint: mean loss of tokens whose last three tokens occurred together
-- earlier in the doc, minus that of all others, in nats, with a 95% band; step is its change since
-- the checkpoint before.
select
    checkpoint, difference, low, high,
    difference - lag(difference) over (order by checkpoint) as step
from difference('copyable', 'not_copyable')
order by checkpoint;
