-- grain: one row per token occurrence, in order of row: the columns that candidate groups are made of
select
    "position", token_id, token_str, word is null as is_no_word, word_part, seen_before,
    bigram_seen_before, trigram_seen_before, corpus_count, source
from tokens
order by "row"
