-- for stores that do not say where each doc's text starts in its source document
alter table doc_rows add column text_start integer
