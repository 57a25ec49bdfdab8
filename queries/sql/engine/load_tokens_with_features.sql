-- grain: one row per predicted token occurrence, in the order of the store's row number; the features
-- that were computed after ingest are further columns
create or replace table token_rows as
select t.*, f.* exclude ("row")
from read_parquet($path) as t
join feature_columns as f using ("row")
order by t."row"
