-- grain: one row per member of a named group; the clause was checked to be one boolean expression
create or replace view token_groups."{name}" as
select * from tokens where (
{clause}
)
