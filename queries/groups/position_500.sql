-- 500th token
-- The token that the model predicts after seeing 500 others: with the 50th, Olsson et al.'s measure of in-context learning.
position = 500
