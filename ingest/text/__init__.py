"""From text to tokens: source documents, windows, offsets, token features, n-grams."""
