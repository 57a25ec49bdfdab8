"""One module per analysis: a function of a store, its result, its chart and its SQL."""
