"""Which checkpoints are chosen: ranges, every n-th, and an even spread over log steps."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import IngestError
from ingest.sources.revisions import Checkpoint
from ingest.sources.selection import Selection, StepRange, parse_steps, select

MISTRAL = [
    *range(0, 100, 10),
    *range(100, 2_000, 50),
    *range(2_000, 20_000, 100),
    *range(20_000, 400_001, 1_000),
]


def chosen(numbers: list[int], selection: Selection) -> list[int]:
    found = select([Checkpoint(n, str(n), Path(), n) for n in numbers], selection)
    return [c.checkpoint for c in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:2000:500", [0, 500, 1_000, 1_500, 2_000]),
        ("1900:2100", [1_900, 1_950, 2_000, 2_100]),
        (":20", [0, 10, 20]),
        ("399000:", [399_000, 400_000]),
        ("50::100000", [50]),
    ],
)
def test_a_range_of_steps_has_both_its_ends(text: str, expected: list[int]) -> None:
    assert chosen(MISTRAL, Selection(steps=parse_steps(text))) == expected


@pytest.mark.parametrize("text", ["5", "a:b", "0:5:0", "-1:5", "1:2:3:4", "0:5:-1", "", "1.5:2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_steps(text)


def test_a_range_that_holds_nothing_gets_a_sentence() -> None:
    with pytest.raises(
        IngestError, match="none of 3 checkpoints, which range from 1 to 9: widen it"
    ):
        chosen([1, 5, 9], Selection(steps=StepRange(6, 8)))


def test_every_nth_counts_from_the_first() -> None:
    assert chosen([0, 1, 2, 4, 8], Selection(every=2)) == [0, 2, 8]
    assert chosen([0, 1, 2, 4, 8], Selection(steps=StepRange(1), every=3)) == [1, 8]


def test_at_most_so_many_spread_over_log_steps() -> None:
    assert len(MISTRAL) == 609
    found = chosen(MISTRAL, Selection(at_most=50))
    assert 45 <= len(found) <= 50
    assert (found[0], found[-1]) == (0, 400_000)
    # As even as the schedule allows: the first steps lie further apart than the grid.
    gaps = [math.log1p(b) - math.log1p(a) for a, b in pairwise(found) if a > 999]
    assert max(gaps) < 2 * min(gaps)
    assert found[:4] == [0, 10, 20, 30]
    assert chosen([1, 2, 4, 8, 16, 32, 64], Selection(at_most=3)) == [1, 8, 64]
    assert chosen([5, 7], Selection(at_most=1)) == [7]
    assert chosen([5, 7], Selection(at_most=2)) == [5, 7]


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=60), st.integers(1, 70))
def test_a_spread_is_an_ordered_part_with_both_ends(numbers: Any, at_most: Any) -> None:
    ordered = sorted(numbers)
    found = chosen(ordered, Selection(at_most=at_most))
    assert found == sorted(set(found) & numbers)
    assert 1 <= len(found) <= at_most
    assert found[-1] == ordered[-1]
    assert at_most == 1 or found[0] == ordered[0]
    assert len(found) == len(ordered) or len(found) >= min(at_most, len(ordered)) / 2
