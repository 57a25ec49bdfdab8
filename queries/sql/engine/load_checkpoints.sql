-- grain: one row per checkpoint, scored or failed; error says why one has no losses
create or replace table checkpoints as select * from read_parquet($path) order by checkpoint
