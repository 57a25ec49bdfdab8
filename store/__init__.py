"""The contract between ingest and everybody else: files, schemas, manifest, n-gram baselines.

Only pyarrow and numpy.
"""
