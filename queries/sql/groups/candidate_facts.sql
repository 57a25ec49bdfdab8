-- grain: one row per token occurrence, in order of row: the columns that candidate groups are made of
select
    t."position", t.token_id, t.token_str, t.word is null as is_no_word, t.word_part, t.seen_before,
    t.bigram_seen_before, t.trigram_seen_before, t.corpus_count, t.source
from tokens as t
order by t."row"
