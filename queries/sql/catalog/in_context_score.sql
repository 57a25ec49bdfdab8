-- grain: one row per checkpoint: mean loss at position 500 minus at position 50, in nats.
-- It has views of its own, as a store may have groups of other tokens under such names.
create view tokens_500th as select * from tokens where "position" = 500;
create view tokens_50th as select * from tokens where "position" = 50;
create macro in_context_score() as table from difference('tokens_500th', 'tokens_50th')
