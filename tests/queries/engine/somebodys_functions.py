"""Functions as users might write them, good and bad; tests copy this file."""

import random
import time
from pathlib import Path

import pandas as pd

from queries.engine.functions import every_row

CALLS = Path(__file__).with_name("calls")


def _note(value: object) -> None:
    with CALLS.open("a") as file:
        file.write(f"{value!r}\n")


def noted(token_str: str) -> bool:
    _note(token_str)
    return "o" in token_str


def area(word: str, position: int) -> int:
    _note((word, position))
    return len(word) * position


def noted_together(token_str: "pd.Series[str]") -> "pd.Series[bool]":
    for value in token_str:
        _note(value)
    return token_str.str.contains("o")


def area_together(word: "pd.Series[str]", position: "pd.Series[int]") -> "pd.Series[int]":
    return word.str.len() * position


def halved(loss: float) -> float:
    return loss / 2


def flipped(text: str, really: bool) -> str:
    return text[::-1] if really else text


@every_row
def chance(position: int) -> float:
    _note(position)
    return random.random()


def fails_for_noon(token_str: str) -> bool:
    return 1 / (token_str != " Noon") > 0


def fails_together_for_noon(token_str: "pd.Series[str]") -> "pd.Series[bool]":
    return token_str.map(lambda text: 1 / (text != " Noon") > 0)


def fails_for_many(token_str: "pd.Series[str]") -> "pd.Series[bool]":
    return token_str == ("" if len(token_str) == 1 else 1 / 0)


def yes_for_level(token_str: str) -> bool:
    return "yes" if token_str == " level" else True


def nothing_for_level(token_str: str) -> bool:
    return None if token_str == " level" else True


def fraction(position: int) -> int:
    return 0.5


def too_large(position: int) -> int:
    return 2**63


def shuffled(token_str: "pd.Series[str]") -> "pd.Series[bool]":
    return token_str.sort_values() == ""


def too_few(token_str: "pd.Series[str]") -> "pd.Series[bool]":
    return (token_str == "")[:1]


def single(token_str: "pd.Series[str]") -> "pd.Series[bool]":
    return True


def endless(token_str: str) -> bool:
    while token_str == " the":
        try:
            while True:
                pass
        except Exception:
            pass
    return True


def endless_together(token_str: "pd.Series[str]") -> "pd.Series[bool]":
    while True:
        pass


def slow(row: int) -> bool:
    time.sleep(0.02)
    return True


def waits(doc: int) -> bool:
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        pass
    return True
