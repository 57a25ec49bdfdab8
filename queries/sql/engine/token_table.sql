-- grain: one row per token occurrence, in order of row: every column of tokens
select * from tokens order by "row"
