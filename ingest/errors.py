"""The one exception that ingest raises for what a person can mend; its text says how."""


class IngestError(Exception):
    """Bad input or an unusable store: what was found, what was expected, what to do."""
