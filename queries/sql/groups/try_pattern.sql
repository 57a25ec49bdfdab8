-- fails if $pattern is not a regular expression (of RE2, which DuckDB uses)
select regexp_matches('', $pattern)
