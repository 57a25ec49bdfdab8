-- Early positions (31 to 69)
-- A steadier relative of the 50th token: positions 31 to 69.
position between 31 and 69
