"""Exceptions for problems that a user can fix. Each message says what to do."""


class IngestError(Exception):
    """Bad input or an unusable store: what was found, what was expected, what to do."""


class CheckpointError(IngestError):
    """One checkpoint cannot be scored. A run records this and scores the others."""


def needs_remote_code(error: Exception) -> bool:
    """Did transformers refuse to run Python code that came with a checkpoint?"""
    return "trust_remote_code" in str(error)


def remote_code_advice(what: str) -> str:
    """The sentence for something that needs its own Python code, which nobody has allowed."""
    return (
        f"{what} needs Python code of its own, which comes with it and is not part of "
        "transformers: read that code, and give --trust-remote-code to run it"
    )


def first_line(error: Exception) -> str:
    """The first line of a library's error message, cut after 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
