create or replace temp view {view} as select * from tokens where (
{clause}
);
