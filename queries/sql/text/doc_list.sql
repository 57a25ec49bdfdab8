-- grain: one row per doc that has a token, in the text's order
select doc, source, part, n_tokens from docs where n_tokens > 0 order by doc
