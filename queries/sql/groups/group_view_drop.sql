-- a named group was deleted
drop view if exists token_groups."{name}"
