-- grain: one row per predicted token occurrence, in the order of the store's row number
create or replace table token_rows as select * from read_parquet($path) order by "row"
