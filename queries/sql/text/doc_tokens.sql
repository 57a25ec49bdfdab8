-- grain: one row per scored token occurrence of a doc, in order of row
select "row", "position", token_str, char_start, char_end from tokens where doc = $doc order by "row"
