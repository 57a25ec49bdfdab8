"""The commands overlap, events and explain say what Python says."""

import pandas as pd

from queries import events, explain, overlap
from queries.__main__ import main
from tests.queries.command_line.test_statistics_commands import said
from tests.queries.stores import build_store


def test_overlap(capsysbinary, folder, store, tmp_path):
    regions = (0, 4, 8, 400)
    got = said(capsysbinary, "overlap", folder, *regions, "--where", "row > 3", "--top", 9)
    expected = overlap(store, (0, 4), (8, 400), "row > 3", k=9)
    pd.testing.assert_frame_equal(got, expected)
    got = said(capsysbinary, "overlap", folder, *regions, "--types", 5)
    pd.testing.assert_frame_equal(got, overlap(store, (0, 4), (8, 400), min_count=5))
    unlike = build_store(tmp_path / "unlike", seed=1)
    assert main(["overlap", str(folder), "0", "4", "8", "400", "--other", str(unlike)]) == 2


def test_events(capsysbinary, demo):
    got = said(capsysbinary, "events", demo.path)
    pd.testing.assert_frame_equal(got, events(demo))
    got = said(capsysbinary, "events", demo.path, "copyable", "not_copyable")
    pd.testing.assert_frame_equal(got, events(demo, "copyable", "not_copyable"))


def test_explain(capsysbinary, demo):
    got = said(capsysbinary, "explain", demo.path, 1380, 1640, "--min-count", 50, "--min-docs", 12)
    expected = explain(demo, 1380, 1640, 50, 12)
    pd.testing.assert_frame_equal(got, expected)
