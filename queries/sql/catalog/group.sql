-- grain: one row per member of a named group; the clause was checked to be one boolean expression
select * from tokens where (
{clause}
)
