-- All tokens
-- Every predicted token of the text.
true
