-- the type of a group's expression
describe select (
{clause}
) as member from tokens
