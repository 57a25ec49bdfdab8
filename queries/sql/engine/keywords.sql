-- grain: one row per word that is reserved in SQL, at least in some places
select keyword_name as name from duckdb_keywords() where keyword_category <> 'unreserved'
