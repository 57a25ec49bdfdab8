-- 50th token
-- The token that the model predicts after seeing 50 others.
position = 50
