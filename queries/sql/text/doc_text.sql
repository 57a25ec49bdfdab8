-- grain: one row: a doc with its text
select source, part, text from docs where doc = $doc
