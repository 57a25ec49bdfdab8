-- grain: one row per doc: the characters of its source document that its text covers
--
-- Older stores do not have text_start. There, windows follow each other; an overlap shows as a first
-- scored token that is not the window's first; and where tokens do not include the blanks before
-- them, one blank between two windows is put back.
create or replace view doc_texts as
with first_tokens as (
    select
        doc,
        arg_min("position", "row") as "position",
        arg_min(char_start, "row") as char_start,
        arg_min(is_word_start, "row") as is_word_start
    from token_rows
    group by doc
),
followed as (
    select
        d.doc, d.source, d.part, d.text, d.text_start,
        length(d.text) as n_characters,
        case
            when lag(d.text) over parts is null then 0
            when f."position" > 1 then -f.char_start
            when
                f.is_word_start
                and not regexp_matches(lag(d.text) over parts, '[\s\v\p{Z}]\z')
                and not regexp_matches(d.text, '\A[\s\v\p{Z}]')
                then 1
            else 0
        end as gap
    from doc_rows as d
    left join first_tokens as f using (doc)
    window parts as (partition by d.source order by d.part)
),
placed as (
    select
        *,
        sum(n_characters + gap) over (partition by source order by part) - n_characters as derived
    from followed
)
select
    doc, source, part, text,
    coalesce(try_cast(text_start as bigint), derived)::bigint as text_start,
    (coalesce(try_cast(text_start as bigint), derived) + n_characters)::bigint as text_end
from placed
