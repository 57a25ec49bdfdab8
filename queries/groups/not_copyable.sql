-- Not copyable
-- Tokens whose last three tokens did not stand together earlier in the doc.
trigram_seen_before = 0
