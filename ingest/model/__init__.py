"""A checkpoint becomes a model, and a model gives losses."""
