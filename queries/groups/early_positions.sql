-- Early positions (31 to 69)
-- Positions 31 to 69: less noisy than the 50th token alone.
position between 31 and 69
