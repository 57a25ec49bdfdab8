-- grain: one row per table or view of a store's database, named groups aside
select table_name as name from duckdb_tables() where schema_name = 'main'
union all
select view_name from duckdb_views() where schema_name = 'main'
