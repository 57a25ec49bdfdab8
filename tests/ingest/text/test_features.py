"""Earlier occurrences equal a count over all pairs of places."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.text.token_features import ngram_seen_before


def seen_by_hand(ids: list[int], n: int) -> list[int]:
    grams = [tuple(ids[i - n + 1 : i + 1]) if i + 1 >= n else None for i in range(len(ids))]
    return [0 if g is None else grams[:i].count(g) for i, g in enumerate(grams)]


@pytest.mark.parametrize("n", [1, 2, 3])
@given(ids=st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_counts_equal_those_by_hand(n: int, ids: list[int]) -> None:
    assert ngram_seen_before(np.array(ids), n).tolist() == seen_by_hand(ids, n)


@pytest.mark.parametrize("n", [1, 2, 3])
@given(ids=st.lists(st.sampled_from([0, 1, 49_999, 50_000, 1_999_999]), min_size=1, max_size=40))
def test_large_vocabularies_mix_no_two_ngrams_up(n: int, ids: list[int]) -> None:
    assert ngram_seen_before(np.array(ids), n).tolist() == seen_by_hand(ids, n)
