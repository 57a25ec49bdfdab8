"""Probes of attention heads: repeated sequences, prefix matching, probes.parquet."""
