-- Copyable
-- Tokens whose last three tokens occurred together earlier in the doc, so that copying from the context can help.
trigram_seen_before > 0
