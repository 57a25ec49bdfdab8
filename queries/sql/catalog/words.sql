-- grain: one row per word of a source document: a maximal run of non-blank characters with the blanks
-- before it; the last word of a text also has the blanks that end it
create or replace view words as
with uncovered as (
    select
        source, part, text, text_start, doc,
        coalesce(max(text_end) over (
            partition by source order by part rows between unbounded preceding and 1 preceding
        ), 0) as covered
    from doc_texts
),
whole as (
    select
        source,
        min(doc) as doc,
        string_agg(
            repeat(' ', greatest(text_start - covered, 0)::bigint)
            || substr(text, 1 + greatest(covered - text_start, 0)::bigint),
            '' order by part
        ) as text
    from uncovered
    group by source
),
split as (
    select
        source, doc,
        regexp_extract_all(
            text, '[\s\v\x1c-\x1f\x{85}\p{Z}]*[^\s\v\x1c-\x1f\x{85}\p{Z}]+([\s\v\x1c-\x1f\x{85}\p{Z}]+\z)?'
        ) as texts
    from whole
),
numbered as (
    select source, doc, unnest(texts) as text, generate_subscripts(texts, 1) - 1 as word
    from split
),
measured as (
    select
        *,
        sum(length(text)) over (partition by source order by word) as char_end,
        lag(text) over (partition by source order by word) as prev_text
    from numbered
),
token_words as (
    select t.source, t."row", w.word
    from (
        select d.source, r."row", r.char_start + d.text_start as char_start
        from token_rows as r
        join doc_texts as d using (doc)
    ) as t
    asof join (
        select source, word, char_end - length(text) as char_start from measured
    ) as w on w.source = t.source and w.char_start <= t.char_start
),
first_rows as (
    select source, word, min("row") as first_row, count(*) as n_tokens
    from token_words
    group by all
)
select
    m.source,
    m.word,
    (m.char_end - length(m.text))::bigint as char_start,
    m.char_end::bigint as char_end,
    m.text,
    m.prev_text,
    f.first_row,
    coalesce(f.n_tokens, 0) as n_tokens,
    strlen(m.text) as n_bytes,
    d.* exclude (doc, source, part, n_tokens, text, text_start)
from measured as m
left join first_rows as f using (source, word)
join doc_rows as d on d.doc = m.doc
