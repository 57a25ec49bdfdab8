-- grain: one row per view and macro of a catalog
select view_name as name, 'view' as kind from duckdb_views() where not internal
union all
select function_name, 'macro' from duckdb_functions()
where function_type in ('table_macro', 'macro') and not internal
order by kind desc, name
