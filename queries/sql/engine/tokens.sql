-- grain: one row per predicted token occurrence; every column of its doc comes along
create or replace view tokens as
select
    t.*,
    d.* exclude (doc, n_tokens),
    d.n_tokens as doc_tokens
from token_rows as t
join doc_rows as d using (doc)
