-- Word start
-- The first token of a word, or of a mark that follows a blank.
is_word_start
