-- grain: one row per checkpoint and loss on repeats, or per checkpoint, layer and head
create or replace table probes as
select checkpoint, probe, layer, head, "value" from read_parquet($path)
order by checkpoint, probe, layer, head
