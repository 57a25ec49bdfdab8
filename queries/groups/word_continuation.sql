-- Word continuation
-- Tokens that do not begin a word: the rest of a word that was split, and punctuation directly after a word.
not is_word_start
