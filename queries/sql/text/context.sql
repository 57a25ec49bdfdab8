-- grain: one row per token occurrence in $rows: its text with the text before and after it
select
    t."row", t.doc, t."position", t.token_str, t.source,
    right(t.text[1:t.char_start], $before) as before,
    t.text[t.char_start + 1:t.char_end] as token,
    left(t.text[t.char_end + 1:], $after) as after
from tokens as t
join (select unnest($rows::bigint[]) as "row") as selected on selected."row" = t."row"
order by t."row"
