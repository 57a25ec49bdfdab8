-- grain: one row per word, in the text's order
select w.*
from words as w
join (select source, min(doc) as doc from doc_rows group by source) as d using (source)
order by d.doc, w.word
