"""From text to tokens: source documents, windows, character spans, token features, n-grams."""
