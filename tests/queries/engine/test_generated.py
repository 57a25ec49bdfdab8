"""Over generated stores and predicates, every number equals plain SQL over the long Parquet."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queries import GroupError, Store
from queries.stats.changes import Zoom
from tests.queries.support.stores import STEPS, VOCABULARY, PlainSql, build_store

text = st.sampled_from(VOCABULARY).map(lambda t: "'" + t.replace("'", "''") + "'")
small = st.integers(0, 40)
LEAVES = st.one_of(
    st.builds("position {} {}".format, st.sampled_from(["=", "<", ">=", "<>"]), small),
    st.builds("position between {} and {}".format, small, small),
    st.builds("row = {}".format, small),
    st.builds("doc in ({}, {})".format, st.integers(0, 6), st.integers(0, 6)),
    st.builds("source = 'source {}'".format, st.integers(0, 5)),
    st.builds("year > {}".format, st.integers(1899, 1905)),
    st.builds("token_str = {}".format, text),
    st.builds("prev_token_str is not distinct from {}".format, text),
    st.builds("regexp_matches(token_str, '{}')".format, st.sampled_from(["^ [A-Z]", "e", "^.$"])),
    st.sampled_from(["is_word_start", "word is null", "word = 'Obama'", "true", "null::boolean"]),
    st.builds("corpus_count % 3 = {}".format, st.integers(0, 2)),
    st.builds("{} > {}".format, st.sampled_from(["seen_before", "bigram_seen_before"]), small),
    st.builds(
        "loss_at(row, {}) - loss_at(row, {}) > {}".format,
        st.sampled_from(STEPS),
        st.sampled_from(STEPS),
        st.floats(-2, 2, width=16),
    ),
    st.builds("loss_at(row - 1, {}) < 4".format, st.sampled_from(STEPS)),
    st.just("position = (select max(position) from tokens) -- the last\n"),
)
PREDICATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({}\n and {}\n)".format, inner, inner),
        st.builds("({}\n or {}\n)".format, inner, inner),
        st.builds("not ({}\n)".format, inner),
    ),
    max_leaves=4,
)
STORES = st.tuples(st.sampled_from([1, 2, 5]), st.integers(0, 1), st.sampled_from([1, 30]))
_built: dict[tuple[int, ...], tuple[Store, PlainSql]] = {}


def _pair(made_of: tuple[int, int, int]) -> tuple[Store, PlainSql]:
    """A generated store and its plain SQL; each is built once."""
    if made_of not in _built:
        sources, seed, longest = made_of
        root = build_store(Path(tempfile.mkdtemp()) / "s", sources, STEPS, seed, longest)
        _built[made_of] = Store(root), PlainSql(root)
    return _built[made_of]


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(STORES, PREDICATES, PREDICATES)
def test_trajectories_and_difference_equal_plain_sql(
    made_of: tuple[int, int, int], first: str, second: str
) -> None:
    store, plain = _pair(made_of)
    expected = {name: plain.means(c) for name, c in (("a", first), ("b", second))}
    if any(e.empty for e in expected.values()):
        with pytest.raises(GroupError, match="selects none"):
            store.trajectories({"a": first, "b": second})
        return
    ours = store.trajectories({"a": first, "b": second})
    for name, theirs in expected.items():
        mine = ours[ours["token_group"] == name]
        for column in ("checkpoint", "n_tokens", "n_docs"):
            assert mine[column].tolist() == theirs[column].tolist()
        np.testing.assert_allclose(mine["mean_loss"], theirs["mean_loss"], atol=1e-6, rtol=0)
        assert (mine["low"].isna() == (mine["n_docs_effective"] < 4 - 1e-9)).all()
        assert (mine["n_docs_effective"] <= theirs["n_docs"].to_numpy() + 1e-9).all()
    gap = expected["a"]["mean_loss"] - expected["b"]["mean_loss"]
    difference = store.difference(first, second)["difference"]
    np.testing.assert_allclose(difference, gap, atol=1e-6, rtol=0)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(STORES, PREDICATES, st.lists(st.sampled_from(STEPS), min_size=2, max_size=2, unique=True))
def test_zoom_equals_plain_sql(made_of: tuple[int, int, int], clause: str, ends: list[int]) -> None:
    store, plain = _pair(made_of)
    first, last = sorted(ends)
    theirs = plain.changes(first, last, clause)
    if theirs.empty:
        with pytest.raises(GroupError, match="selects none"):
            store.zoom(first, last, clause)
        return
    ours = store.zoom(first, last, clause, k=5)
    assert ours.changes["row"].tolist() == theirs["row"].tolist()
    np.testing.assert_allclose(ours.changes["change"], theirs["change"], atol=1e-6, rtol=0)
    inside = [theirs["change"].between(*edges).sum() for edges in _edges(ours)]
    assert ours.histogram["n_tokens"].sum() == len(theirs)
    assert (ours.histogram["n_tokens"] <= inside).all()
    by_change = theirs.sort_values("change")["row"].tolist()
    n_fell, n_rose = (theirs["change"] < 0).sum(), (theirs["change"] > 0).sum()
    assert ours.decreased["row"].unique().tolist() == by_change[: min(5, n_fell)]
    assert ours.increased["row"].unique().tolist() == by_change[::-1][: min(5, n_rose)]
    assert set(ours.random["row"]) <= set(theirs["row"])


def _edges(zoom: Zoom) -> list[tuple[float, float]]:
    """Lower and upper edges of the bins, widened by what float32 rounds off."""
    return [(low - 1e-6, high + 1e-6) for low, high, _ in zoom.histogram.to_numpy()]
