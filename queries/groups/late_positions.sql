-- Late positions (481 and up)
-- A steadier relative of the 500th token: every token with at least 480 before it.
position > 480
