-- grain: one row per checkpoint that was tried; error says why one has no losses
create table checkpoints as select * from read_parquet($path) order by checkpoint
