-- grain: one row per checkpoint and loss on repeats, or per checkpoint, layer and head
create view probes as select checkpoint, probe, layer, head, "value" from probe_rows
