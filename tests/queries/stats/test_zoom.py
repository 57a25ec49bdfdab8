"""Zoom: lists and histogram; its numbers against plain SQL are in test_generated.py."""

import numpy as np
import pandas as pd
import pytest

from queries import QueryError


def test_lists_are_sorted_and_hold_whole_trajectories(store, plain):
    zoom = store.zoom(4, 400, k=7)
    assert (zoom.first, zoom.last) == (4, 400)
    for name, sign in (("decreased", 1), ("increased", -1), ("random", 0)):
        tokens = getattr(zoom, name)
        assert tokens["row"].nunique() == 7
        heads = tokens.drop_duplicates("row")
        assert sign == 0 or (np.diff(sign * heads["change"]) >= 0).all()
        assert tokens.groupby("row")["checkpoint"].apply(list).map(store.steps.__eq__).all()
    expected = plain.connection.sql('select "row", checkpoint, loss, token_str from long').df()
    merged = zoom.random.merge(expected, on=["row", "checkpoint"], suffixes=("", "_plain"))
    assert len(merged) == len(zoom.random)
    assert (merged["loss"] == merged["loss_plain"]).all()
    assert (merged["token_str"] == merged["token_str_plain"]).all()


def test_histogram_is_symmetric_with_zero_on_an_edge(store):
    zoom = store.zoom(0, 1000)
    bins = zoom.histogram
    assert len(bins) == 100 and bins["low"][50] == 0
    assert bins["n_tokens"].sum() == len(zoom.changes) == store.manifest.n_tokens
    assert bins["low"][0] == -bins["high"][99] == -zoom.changes["change"].abs().max()
    negative = (zoom.changes["change"] < 0).sum()
    assert bins["n_tokens"][:50].sum() == negative


def test_random_tokens_follow_the_seed(store):
    rows = [store.zoom(0, 8, k=9, seed=s).random["row"].unique().tolist() for s in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_more_tokens_asked_than_there_are(store):
    zoom = store.zoom(0, 8, "row < 3", k=50)
    lists = pd.concat([zoom.decreased, zoom.increased])
    assert sorted(lists["row"].unique()) == [0, 1, 2]
    assert zoom.random["row"].unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("region", "where", "k", "sentence"),
    [
        ((8, 8), "true", 5, "empty"),
        ((8, 4), "true", 5, "expected the earlier step first"),
        ((0, 399), "true", 5, "checkpoint 399 is not in the store: the nearest are 16 and 400"),
        ((-5, 8), "true", 5, "the nearest are 0 and 1"),
        ((0, 8), "true", 0, "expected at least 1"),
        ((0, 8), "position = 999", 5, "selects none"),
    ],
)
def test_what_cannot_be_zoomed_gets_a_sentence(store, region, where, k, sentence):
    with pytest.raises(QueryError, match=sentence):
        store.zoom(*region, where, k)
