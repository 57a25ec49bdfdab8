-- grain: one row per token occurrence: its characters in its source document
select
    t."row",
    d.source,
    t.char_start + d.text_start as char_start,
    t.char_end + d.text_start as char_end
from token_rows as t
join doc_texts as d using (doc)
order by t."row"
