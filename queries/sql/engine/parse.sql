-- the parse tree of a statement, as JSON; nothing is run
select json_serialize_sql($statement) as tree
