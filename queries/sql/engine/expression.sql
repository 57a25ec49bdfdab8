-- grain: one row per token occurrence, in order of row; the expression was checked to be one
select (
{clause}
) as value from tokens order by "row"
