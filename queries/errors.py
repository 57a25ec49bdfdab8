"""One tree of exceptions; the text says what was found, what was expected, what to do."""


class QueryError(Exception):
    """A question that cannot be answered, or an invalid argument."""


class StoreError(QueryError):
    """A store that cannot be opened, or cannot be compared with another."""


class GroupError(QueryError):
    """A group that is not one boolean expression over `tokens`, or that selects no token."""


def too_few(n: int, noun: str) -> str:
    """1 checkpoint is too few; 3 checkpoints are too few"""
    return f"{n:,} {noun} is too few" if n == 1 else f"{n:,} {noun}s are too few"
