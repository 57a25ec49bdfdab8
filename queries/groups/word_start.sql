-- Word start
-- The first token of a word, or of punctuation that follows a space.
is_word_start
