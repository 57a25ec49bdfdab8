-- The report's six surnames
-- Tokens of the words Obama, Trump, Biden, Clinton, Bush and Reagan, whole words however many tokens they have.
word in ('Obama', 'Trump', 'Biden', 'Clinton', 'Bush', 'Reagan')
