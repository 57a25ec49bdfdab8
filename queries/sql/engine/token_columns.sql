-- grain: one row: a token occurrence, with all that is known of it and of its doc but the text
select * exclude (text, char_start, char_end) from tokens where "row" = $row
