-- Late positions (481 and up)
-- Every token with at least 480 before it: less noisy than the 500th token alone.
position > 480
