"""Pictures without a browser: their numbers, and what the files are."""

import json
import re

import pytest

from queries.charts.vega import render, trajectories_spec, zoom_spec


@pytest.fixture(scope="module")
def spec(store) -> dict:
    frame = store.trajectories({"word start": "is_word_start", "one": "row = 1"})
    return trajectories_spec(frame, store.difference("is_word_start", "not is_word_start"))


def test_the_picture_holds_the_answer(store, spec):
    groups, difference = spec["vconcat"]
    shown = groups["data"]["values"]
    frame = store.trajectories({"word start": "is_word_start"})
    ours = [v["mean_loss"] for v in shown if v["token_group"] == "word start"]
    assert ours == pytest.approx(frame["mean_loss"].tolist(), abs=1e-12)
    assert [v["low"] for v in shown if v["token_group"] == "one"] == [None] * len(store.steps)
    assert [v["checkpoint"] for v in difference["data"]["values"]] == store.steps
    assert "NaN" not in json.dumps(spec)


def test_one_group_has_no_difference_panel(store):
    assert len(trajectories_spec(store.trajectories({"a": "true"}), None)["vconcat"]) == 1


def test_the_zoom_shows_its_histogram(store):
    histogram = store.zoom(0, 8).histogram
    spec = zoom_spec(histogram, 0, 8)
    assert [v["n_tokens"] for v in spec["data"]["values"]] == histogram["n_tokens"].tolist()
    assert render(spec, "svg").startswith(b"<svg")


def test_files_are_what_they_say(spec):
    svg, png, html = (render(spec, kind) for kind in ("svg", "png", "html"))
    assert svg.startswith(b"<svg") and b"mean loss (nats)" in svg and b"word start" in svg
    assert png.startswith(b"\x89PNG\r\n")
    assert b"<html" in html[:500].lower()
    assert not re.search(rb"<(script|link)[^>]+(src|href)=", html)  # self-contained
