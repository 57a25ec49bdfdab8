-- Not copyable
-- Tokens whose last three tokens did not occur together earlier in the doc.
trigram_seen_before = 0
