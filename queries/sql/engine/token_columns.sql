-- grain: one row: a token occurrence, with all columns of it and of its doc except the text
select * exclude (text, char_start, char_end) from tokens where "row" = $row
