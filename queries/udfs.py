"""Python functions for groups: every public function here can be used in a WHERE clause.

If the parameters and the result are annotated with str, int, float or bool, the function is called
with single values; if all are annotated with "pd.Series[str]" and so on, with many values at a
time. The result must depend only on the arguments, since each value is computed once; mark other
functions with `queries.engine.functions.every_row`. A NULL argument gives NULL without a call.
"""


def is_palindrome(text: str) -> bool:
    """Reads the same backwards, ignoring spaces and case; at least three characters."""
    letters = text.strip().lower()
    return len(letters) >= 3 and letters == letters[::-1]
