-- grain: one row per asked token occurrence: its text with what stands around it in its doc
select
    t."row", t.doc, t."position", t.token_str, t.source,
    right(t.text[1:t.char_start], $before) as before,
    t.text[t.char_start + 1:t.char_end] as token,
    left(t.text[t.char_end + 1:], $after) as after
from tokens as t
join (select unnest($rows::bigint[]) as "row") as asked on asked."row" = t."row"
order by t."row"
