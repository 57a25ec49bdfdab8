-- grain: one row per member of a group; the clause was checked to be one boolean expression
select "row" from tokens where (
{clause}
)
