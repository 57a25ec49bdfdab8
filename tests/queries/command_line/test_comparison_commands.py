"""The commands matched, positions and ngrams say what Python says; the pictures hold it."""

import numpy as np
import pandas as pd
import pytest

from queries import (
    Store,
    events,
    explain,
    in_context_score,
    loss_by_position,
    overlap,
    position_slope,
)
from queries.__main__ import main
from queries.analyses import matched, ngrams
from queries.charts.vega import (
    baselines_spec,
    events_spec,
    explain_spec,
    matched_spec,
    overlap_spec,
    positions_spec,
    render,
)
from tests.queries.command_line.test_statistics_commands import said


def test_matched(capsysbinary, folder, store):
    how = ("--on", "position", "token_str", "--among", "row > 2", "--bins", 3)
    expected = matched(store, "is_word_start", ["position"], "row > 2", 3)
    for shown in ("trajectories", "difference", "balance"):
        got = said(capsysbinary, "matched", folder, "is_word_start", "--on", "position",
                   "--among", "row > 2", "--bins", 3, "--show", shown)  # fmt: skip
        pd.testing.assert_frame_equal(got, getattr(expected, shown), check_dtype=False)
    assert main(["matched", *map(str, (folder, "is_word_start", *how))]) == 2  # none is alike


def test_positions(capsysbinary, folder, store):
    got = said(capsysbinary, "positions", folder, "--where", "row > 5")
    pd.testing.assert_frame_equal(got, loss_by_position(store, "row > 5"))
    got = said(capsysbinary, "positions", folder, "--show", "slope")
    pd.testing.assert_frame_equal(got, position_slope(store))
    got = said(capsysbinary, "positions", folder, "--show", "score", "--late", 9, "--early", 3)
    pd.testing.assert_frame_equal(got, in_context_score(store, 9, 3))
    assert main(["positions", str(folder), "--show", "score"]) == 2  # no position 500 there


def test_ngrams(capsysbinary, own):
    got = said(capsysbinary, "ngrams", own, "is_word_start", "--save")
    store = Store(own)
    pd.testing.assert_frame_equal(got, ngrams(store, "is_word_start"))
    assert store.features.all()["name"].tolist() == ["bigram_loss", "unigram_loss"]
    assert main(["ngrams", str(own), "--save"]) == 2
    assert main(["ngrams", str(own), "--save", "--overwrite"]) == 0


def values(spec: dict, column: str) -> list:
    return [line[column] for line in spec["data"]["values"]]


def test_pictures_hold_the_numbers(store):
    found = matched(store, "is_word_start", ["position"])
    curves, differences = matched_spec(found)["vconcat"]
    assert values(curves, "mean_loss") == pytest.approx(found.trajectories["mean_loss"].tolist())
    both = [*found.difference["difference"], *found.difference["before"]]
    assert values(differences, "difference") == pytest.approx(both)
    losses = loss_by_position(store)
    spec = positions_spec(losses)
    assert values(spec, "mean_loss") == pytest.approx(losses["mean_loss"].tolist())
    assert values(spec, "until")[:3] == store.steps[1:4]
    frame = ngrams(store)
    above, below = baselines_spec(frame)["vconcat"]
    lines = [*frame["mean_loss"], *frame["unigram_loss"], *frame["bigram_loss"]]
    assert values(above, "mean_loss") == pytest.approx(lines)
    assert values(below, "correlation")[-1] == pytest.approx(frame["bigram_correlation"].iloc[-1])


def test_pictures_of_what_was_there_before(demo):
    found = events(demo)
    mean = demo.trajectories({"": "true"})["mean_loss"].to_numpy()
    curve, bars = events_spec(found, np.array(demo.steps), mean)["vconcat"]
    assert values(curve, "value") == pytest.approx(mean.tolist())
    assert values(bars, "first") == found["first"].tolist()
    lines = explain(demo, 1380, 1640)
    spec = explain_spec(lines, 1380, 1640)
    assert values(spec, "difference") == pytest.approx(lines["difference"].head(30).tolist())
    low = lines["difference"] - 2 * lines["standard_error"]
    assert values(spec, "low") == pytest.approx(low.head(30).tolist())
    shared = overlap(demo, (1380, 1640), (1660, 2300))
    shown = overlap_spec(shared)
    assert values(shown, "n")[:8] == pytest.approx([*shared["shared"], *shared["expected"]])


@pytest.mark.parametrize(
    "asked",
    [
        ["events"],
        ["explain", "1380", "1640"],
        ["overlap", "1380", "1640", "1660", "2300"],
        ["matched", "copyable"],
        ["positions"],
        ["positions", "--show", "slope"],
        ["ngrams"],
    ],
)
def test_every_analysis_is_drawn(demo, tmp_path, asked):
    path = tmp_path / "picture.svg"
    command, *rest = asked
    how = ["--format", "svg", "--output", str(path)]
    assert main([command, str(demo.path), *rest, *how]) == 0
    assert path.read_bytes().startswith(b"<svg")
    assert b"NaN" not in path.read_bytes()


def test_a_picture_of_nothing_is_one(store):
    none = pd.DataFrame({"kind": [], "first": [], "peak": [], "last": [], "size": []})
    assert render(events_spec(none, np.array(store.steps), np.ones(8)), "svg").startswith(b"<svg")
