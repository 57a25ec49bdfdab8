"""The contract between ingest and everybody else: file names, schemas, manifest. Only pyarrow."""
