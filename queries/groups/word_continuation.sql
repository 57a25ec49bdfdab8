-- Word continuation
-- Tokens that do not begin a word: the rest of a word that was split, and marks that follow it directly.
not is_word_start
