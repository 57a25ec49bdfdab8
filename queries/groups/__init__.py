"""Named groups (the .sql files here and in a store), templates, and candidate groups."""
