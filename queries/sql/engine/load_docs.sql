-- grain: one row per doc
create table doc_rows as select * from read_parquet($path) order by doc
