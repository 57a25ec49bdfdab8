-- grain: one row per token occurrence, in order of row: the columns that the zoom lists
select "row", doc, "position", token_id, token_str, word, source from tokens order by "row"
