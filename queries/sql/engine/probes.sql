-- grain: one row per value of a scored checkpoint: its losses on repeats, then its heads' scores
select checkpoint, probe, layer, head, "value" from probes
where checkpoint in (select unnest($scored::bigint[]))
order by checkpoint, probe, layer, head
