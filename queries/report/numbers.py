"""Numbers as text, for sentences."""

from collections.abc import Sequence

import numpy as np

MINUS = "−"


def signed(value: float, digits: int = 2) -> str:
    """+0.12 or −0.12; with more digits if two would show only zero."""
    if value and abs(value) < 10**-digits / 2 and digits < 4:
        return signed(value, digits + 1)
    text = f"{value:+.{digits}f}".replace("-", MINUS)
    return text[1:] if float(f"{value:.{digits}f}") == 0 else text


def plain(value: float, digits: int = 2) -> str:
    """A size, which has no sign."""
    return signed(abs(value), digits).lstrip("+" + MINUS)


def number(value: float, digits: int = 2) -> str:
    """A value that may be below zero, without a plus."""
    return signed(value, digits).lstrip("+")


def band(low: float, high: float) -> str:
    """−0.39 to +0.50"""
    return f"{signed(low)} to {signed(high)}"


def step(value: int) -> str:
    """4,000"""
    return f"{int(value):,}"


def span(first: int, last: int) -> str:
    """steps 1,380 to 1,640"""
    return f"steps {step(first)} to {step(last)}"


def count(n: int, noun: str, plural: str = "") -> str:
    """1 token; 2 tokens"""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def share(value: float, digits: int = 0) -> str:
    """57%; with more digits near 0 and 100."""
    percent = 100 * value
    near_end = 0 < percent < 1 or 99 < percent < 100
    return f"{percent:.{max(digits, 2) if near_end else digits}f}%"


def chance(p_value: float) -> str:
    """p = 0.012; p < 0.0001"""
    return "p < 0.0001" if p_value < 1e-4 else f"p = {p_value:.2g}"


def listed(items: Sequence[str]) -> str:
    """a; a and b; a, b and c"""
    head = ", ".join(items[:-1])
    return f"{head} and {items[-1]}" if head else items[-1]


def better(difference: float) -> str:
    """A difference from another group in words: 0.06 nats worse."""
    word = "better" if difference < 0 else "worse"
    return f"{plain(difference)} nats {word}"


def known(*values: float) -> bool:
    """Whether there is a band."""
    return bool(np.isfinite(values).all())
