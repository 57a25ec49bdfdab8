-- grain: one row per word that SQL keeps for itself, at least in some places
select keyword_name as name from duckdb_keywords() where keyword_category <> 'unreserved'
