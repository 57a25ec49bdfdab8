-- fails where $pattern is no regular expression (of RE2, which DuckDB uses)
select regexp_matches('', $pattern)
