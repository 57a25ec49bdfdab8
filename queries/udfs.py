"""Python functions for groups: every public one here can be used in a WHERE clause.

Annotate the parameters and the result with str, int, float or bool; that is all it takes.
A NULL argument gives NULL without a call.
"""


def is_palindrome(text: str) -> bool:
    """Reads the same backwards, blanks and case aside, with at least three characters."""
    letters = text.strip().lower()
    return len(letters) >= 3 and letters == letters[::-1]
