"""Per-token results of other tools become a store. Needs no tokenizer, and torch only for .pt."""
