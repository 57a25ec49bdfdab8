-- a named group is gone
drop view if exists token_groups."{name}"
