"""The contract between ingest and its readers: files, schemas, manifest, n-gram baselines.

Needs only pyarrow and numpy.
"""
