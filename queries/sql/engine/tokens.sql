-- grain: one row per predicted token occurrence; with every column of its doc
create or replace view tokens as
select
    t.*,
    d.* exclude (doc, n_tokens),
    d.n_tokens as doc_tokens
from token_rows as t
join doc_rows as d using (doc)
