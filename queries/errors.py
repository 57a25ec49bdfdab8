"""One tree of exceptions; the text says what was found, what was expected, what to do."""


class QueryError(Exception):
    """A question that cannot be answered as it was put."""


class StoreError(QueryError):
    """A store that cannot be opened, or not compared with another."""


class GroupError(QueryError):
    """A token group that is not one boolean expression over `tokens`, or that selects nothing."""
