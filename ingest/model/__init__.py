"""From a checkpoint's files to a model, and from a model to losses."""
