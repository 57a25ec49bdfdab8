"""The commands summary, ratio, change and compare say what Python says; so do their pictures."""

import io
from pathlib import Path

import pandas as pd
import pytest

from queries import Store, compare
from queries.__main__ import main
from queries.charts.vega import comparison_spec, relative_spec, render
from tests.queries.stores import build_store


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the tokens of the small store, without its last checkpoints."""
    return build_store(tmp_path_factory.mktemp("stores") / "other", steps=(0, 4, 16))


def said(capsysbinary: pytest.CaptureFixture[bytes], *arguments: object) -> pd.DataFrame:
    """What a command prints, as a table."""
    assert main([str(a) for a in arguments]) == 0
    return pd.read_csv(io.BytesIO(capsysbinary.readouterr().out))


def test_relative_statistics(capsysbinary, folder, store):
    ratio = said(capsysbinary, "ratio", folder, "is_word_start", "true", "--smooth", 0.2)
    pd.testing.assert_frame_equal(ratio, store.ratio("is_word_start", "true", smooth=0.2))
    change = said(capsysbinary, "change", folder, "is_word_start", 4, "--smooth", 0.2)
    pd.testing.assert_frame_equal(change, store.change_since("is_word_start", 4, smooth=0.2))


def test_smoothed_trajectories_and_difference(capsysbinary, folder, store):
    got = said(capsysbinary, "trajectories", folder, "row > 9", "--smooth", 0.2)
    expected = store.trajectories({"row > 9": "row > 9"}, 0.2)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False)
    got = said(capsysbinary, "difference", folder, "is_word_start", "true", "--smooth", 0.2)
    pd.testing.assert_frame_equal(got, store.difference("is_word_start", "true", 0.2))


def test_a_summary(capsysbinary, folder, store):
    got = said(capsysbinary, "summary", folder, "is_word_start", "--quantiles", 0.1, 0.5)
    pd.testing.assert_frame_equal(got, store.summary("is_word_start", (0.1, 0.5)))


def test_a_comparison(capsysbinary, folder, other):
    got = said(capsysbinary, "compare", folder, other, "--group", "is_word_start")
    expected = compare([folder, other], "is_word_start")
    pd.testing.assert_frame_equal(got[list(expected.runs)], expected.runs)
    both = expected.runs[["at"]].merge(expected.spread, on="at")
    for column in ("mean_loss", "standard_deviation", "lowest", "highest"):
        assert got[f"runs_{column}"].tolist() == pytest.approx(both[column].tolist())


def test_runs_that_cannot_be_compared(capsys, folder, tmp_path):
    unlike = build_store(tmp_path / "unlike", seed=1)
    assert main(["compare", str(folder), str(unlike)]) == 2
    assert "hold other tokens" in capsys.readouterr().err


def test_the_picture_of_a_comparison_holds_the_runs_and_their_spread(folder, other):
    comparison = compare([folder, Store(other)], "true")
    spec = comparison_spec(comparison, "step")
    runs, spread = (panel["data"]["values"] for panel in spec["vconcat"])
    assert [v["mean_loss"] for v in runs] == pytest.approx(comparison.runs["mean_loss"].tolist())
    assert [v["high"] for v in spread] == pytest.approx(comparison.spread["highest"].tolist())
    svg = render(spec, "svg")
    assert b"training step" in svg and str(other).encode() in svg
    assert b"tokens seen" in render(comparison_spec(comparison, "tokens_seen"), "svg")


def test_the_picture_of_a_ratio_marks_one(store):
    frame = store.ratio("is_word_start", "true")
    spec = relative_spec(frame, "ratio", "first over second", 1)
    assert [v["ratio"] for v in spec["data"]["values"]] == pytest.approx(frame["ratio"].tolist())
    assert spec["layer"][-1]["encoding"]["y"] == {"datum": 1}
    assert render(spec, "svg").startswith(b"<svg")
