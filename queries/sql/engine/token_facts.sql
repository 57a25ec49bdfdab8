-- grain: one row per token occurrence, in order of row: what the zoom lists of each
select "row", doc, "position", token_id, token_str, word, source from tokens order by "row"
