-- Copyable
-- Tokens whose last three tokens stood together earlier in the doc: what copying from the context can help.
trigram_seen_before > 0
