"""DuckDB and the loss matrix: clauses become rows, rows become sums."""
