"""Events of stores: those of their means and differences, and the demo's."""

import numpy as np
import pandas as pd
import pytest

from queries import QueryError, events
from queries.stats.time_series.events import find_events
from tests.queries.support.simulated import blank_store, with_losses


def of_kind(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    return frame[frame["kind"] == kind]


def test_events_of_a_store_are_those_of_its_means(tmp_path):
    n_tokens = blank_store(tmp_path / "store", sources=4)
    losses = np.random.default_rng(0).exponential(0.1, (n_tokens, 30))
    losses[:, 13:18] += [2, 4, 6, 4, 2]
    store = with_losses(tmp_path / "store", losses)
    steps = np.array(store.steps)
    found = events(store, "is_word_start").frame
    mean = store.trajectories({"": "is_word_start"})["mean_loss"].to_numpy()
    pd.testing.assert_frame_equal(found, find_events(steps, mean))
    assert of_kind(found, "spike")["peak"].tolist() == [150]
    gap = store.difference("is_word_start", "true")["difference"].to_numpy()
    pd.testing.assert_frame_equal(
        events(store, "is_word_start", "true").frame, find_events(steps, gap)
    )


def test_the_demo_s_spike_and_the_onset_of_copying(demo):
    spike = of_kind(events(demo).frame, "spike").squeeze()
    assert spike[["first", "peak", "last"]].tolist() == [1380, 1640, 2300]
    assert spike["verdict"] == "event" and 0.01 <= spike["p_value"] < 0.05
    found = events(demo, "copyable", "not_copyable").frame
    onset = of_kind(found, "change_point").squeeze()
    assert 1400 <= onset["first"] < onset["peak"] < onset["last"] <= 1800
    assert onset["verdict"] == "event" and 0.015 <= onset["p_value"] < 0.05
    fall = of_kind(found, "fastest_fall").squeeze()
    assert fall["verdict"] == "description" and np.isnan(fall["p_value"])


def test_too_few_checkpoints(store):
    with pytest.raises(QueryError, match="8 checkpoints are too few to separate events from noise"):
        events(store)
