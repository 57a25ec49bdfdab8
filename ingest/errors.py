"""The exceptions that ingest raises for what a person can mend; their texts say how."""


class IngestError(Exception):
    """Bad input or an unusable store: what was found, what was expected, what to do."""


class CheckpointError(IngestError):
    """One checkpoint cannot be scored; the others can go on."""


def first_line(error: Exception) -> str:
    """The first line of a library's message, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
