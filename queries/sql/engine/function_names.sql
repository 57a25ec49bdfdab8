-- grain: one row per name of a function that SQL knows
select distinct lower(function_name) as name from duckdb_functions()
