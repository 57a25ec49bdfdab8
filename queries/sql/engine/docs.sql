-- grain: one row per doc, the sequence that the model saw
create view docs as select * from doc_rows
