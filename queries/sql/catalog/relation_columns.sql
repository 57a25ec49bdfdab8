-- grain: one row per column that people's own SQL can name, tables in the order of $relations
select table_name as relation, column_name as column, lower(data_type) as type
from duckdb_columns()
where schema_name = 'main' and list_contains($relations, table_name)
order by list_position($relations, table_name), column_index
