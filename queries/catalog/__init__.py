"""catalog.duckdb for other tools, and the SQL behind each chart."""
