"""Python functions for groups: every public one here can be used in a WHERE clause.

Annotate the parameters and the result with str, int, float or bool, and it is called for single
values; or all of them with "pd.Series[str]" and so on, and it is called for many at once and gives
as many. A value must follow from the arguments alone, as each is asked for only once; mark others
with `queries.engine.functions.every_row`. A NULL argument gives NULL without a call.
"""


def is_palindrome(text: str) -> bool:
    """Reads the same backwards, blanks and case aside, with at least three characters."""
    letters = text.strip().lower()
    return len(letters) >= 3 and letters == letters[::-1]
