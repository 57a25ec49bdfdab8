-- grain: one row per column that people's own SQL can name, tables in the order that they are told
select table_name as relation, column_name as column, lower(data_type) as type
from duckdb_columns()
where schema_name = 'main' and table_name in ('losses', 'loss_rows', 'tokens', 'docs', 'checkpoints')
order by
    list_position(['losses', 'loss_rows', 'tokens', 'docs', 'checkpoints'], table_name),
    column_index
