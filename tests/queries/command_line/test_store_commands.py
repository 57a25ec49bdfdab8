"""The commands of groups and regions print what `Store` returns; so do their charts."""

from pathlib import Path

import pandas as pd
import pytest

from queries import Store
from queries.__main__ import main
from queries.charts import curves
from queries.charts.render import specification
from tests.queries.support.catalogs import read_csv


def printed(capsysbinary: pytest.CaptureFixture[bytes], *arguments: object) -> pd.DataFrame:
    """What a command prints, as a table."""
    status = main([str(a) for a in arguments])
    output, error = capsysbinary.readouterr()
    assert status == 0, error.decode()
    return read_csv(output.decode())


def test_relative_statistics(
    capsysbinary: pytest.CaptureFixture[bytes], folder: Path, store: Store
) -> None:
    ratio = printed(capsysbinary, "ratio", folder, "is_word_start", "true", "--smooth", 0.2)
    pd.testing.assert_frame_equal(ratio, store.ratio("is_word_start", "true", smooth=0.2))
    change = printed(capsysbinary, "change", folder, "is_word_start", 4, "--smooth", 0.2)
    pd.testing.assert_frame_equal(change, store.change("is_word_start", 4, smooth=0.2))


def test_smoothed_trajectories_and_difference(
    capsysbinary: pytest.CaptureFixture[bytes], folder: Path, store: Store
) -> None:
    got = printed(capsysbinary, "trajectories", folder, "row > 9", "--smooth", 0.2)
    expected = store.trajectories({"row > 9": "row > 9"}, 0.2)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False)
    got = printed(capsysbinary, "difference", folder, "is_word_start", "true", "--smooth", 0.2)
    pd.testing.assert_frame_equal(got, store.difference("is_word_start", "true", 0.2))


def test_a_summary(capsysbinary: pytest.CaptureFixture[bytes], folder: Path, store: Store) -> None:
    got = printed(capsysbinary, "summary", folder, "is_word_start", "--quantiles", 0.1, 0.5)
    pd.testing.assert_frame_equal(got, store.summary("is_word_start", (0.1, 0.5)))
    got = printed(capsysbinary, "summary", folder, "is_word_start")
    pd.testing.assert_frame_equal(got, store.summary("is_word_start"))


def test_a_clause_may_begin_with_a_dash(
    capsysbinary: pytest.CaptureFixture[bytes], folder: Path, store: Store
) -> None:
    got = printed(capsysbinary, "difference", folder, "-1 < position", "-- all\ntrue")
    pd.testing.assert_frame_equal(got, store.difference("true", "true"))
    got = printed(capsysbinary, "trajectories", folder, "-3 < -position")
    assert set(got["token_group"]) == {"-3 < -position"}


def test_the_chart_of_a_ratio_has_a_line_at_one(store: Store) -> None:
    frame = store.ratio("is_word_start", "true")
    spec = specification(curves.relative(frame, "ratio", "first divided by second", 1))
    values = [row for rows in spec["datasets"].values() for row in rows]
    assert [v["ratio"] for v in values if "ratio" in v] == pytest.approx(frame["ratio"].tolist())
    assert {"y": 1} in values or {"value": 1} in values
