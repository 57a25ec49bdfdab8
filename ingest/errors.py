"""Exceptions for problems that a user can fix. Each message says what to do."""


class IngestError(Exception):
    """Bad input or an unusable store: what was found, what was expected, what to do."""


class CheckpointError(IngestError):
    """One checkpoint cannot be scored. A run records this and scores the others."""


def first_line(error: Exception) -> str:
    """The first line of a library's error message, cut after 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
