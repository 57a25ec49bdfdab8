"""Charts contain the numbers of their frames, and files have the format of their name."""

import json
import re
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert

import queries
from queries import Store, text
from queries.charts import analyses, changes, curves, heat_map, quick, theme
from queries.charts.render import FORMATS, panels, render, specification
from tests.queries.support.stores import build_store


def data(spec: dict[str, Any], *columns: str) -> pd.DataFrame:
    """The first data set of a specification that has all these columns."""
    frames = map(pd.DataFrame, spec["datasets"].values())
    return next(frame for frame in frames if set(columns) <= set(frame.columns))


@pytest.fixture(scope="module")
def frame(store: Store) -> pd.DataFrame:
    return store.trajectories({"word start": "is_word_start", "one": "row = 1"})


@pytest.fixture(scope="module")
def stacked(store: Store, frame: pd.DataFrame) -> alt.VConcatChart:
    difference = store.difference("is_word_start", "not is_word_start")
    below = curves.relative(difference, "difference", "first minus second (nats)")
    return theme.stack(curves.trajectories(frame), below)


def test_the_chart_holds_the_answer(
    store: Store, frame: pd.DataFrame, stacked: alt.VConcatChart
) -> None:
    spec = specification(stacked)
    shown = data(spec, "mean_loss", "token_group")
    pd.testing.assert_series_equal(shown["mean_loss"], frame["mean_loss"], check_exact=True)
    one = shown[shown["token_group"] == "one"]
    assert len(one) == len(store.steps) and one["low"].isna().all()
    assert data(spec, "difference")["checkpoint"].tolist() == store.steps
    assert "NaN" not in json.dumps(spec)


def test_groups_have_the_colours_of_the_palette_or_of_the_frame(
    frame: pd.DataFrame,
) -> None:
    styled = curves.styled(frame)
    assert styled.groupby("token_group")["color"].first().to_dict() == {
        "word start": theme.PALETTE[0],
        "one": theme.PALETTE[1],
    }
    own = curves.styled(curves.as_group(frame, "mine", "#000000", [1, 0]))
    assert set(own["color"]) == {"#000000"}


def test_a_tooltip_has_real_minus_signs(store: Store) -> None:
    frame = store.difference("not is_word_start", "is_word_start")
    frame = frame.assign(difference=-abs(frame["difference"]))
    spec = specification(curves.relative(frame, "difference", "difference (nats)"))
    texts = data(spec, "group_0")["group_0"]
    assert texts.str.contains("−").all() and not texts.str.contains("-").any()


def test_the_histogram_holds_every_bin(store: Store) -> None:
    histogram = store.zoom(0, 8).histogram
    shown = data(specification(changes.histogram(histogram)), "n_tokens")
    assert shown["n_tokens"].tolist() == histogram["n_tokens"].tolist()


@pytest.mark.parametrize("format", FORMATS)
def test_files_have_the_format_of_their_name(stacked: alt.VConcatChart, format: str) -> None:
    content = render(stacked, format)
    begin = {"svg": b"<svg", "png": b"\x89PNG\r\n", "html": b"<!DOCTYPE html>"}[format]
    assert content.lstrip().lower().startswith(begin.lower())
    if format == "svg":
        assert b"mean loss (nats)" in content and b"word start" in content
    if format == "html":  # self-contained
        assert not re.search(rb"<(script|link)[^>]+(src|href)=", content)


def test_an_unknown_format_is_refused(stacked: alt.VConcatChart) -> None:
    with pytest.raises(ValueError, match=r"unknown format 'gif': expected one of svg, png, html"):
        render(stacked, "gif")


def test_a_picture_has_no_layers_for_the_pointer(frame: pd.DataFrame) -> None:
    chart = curves.trajectories(frame, region=(0, 400))
    assert "hover" in json.dumps(specification(chart))
    svg = render(chart, "svg").decode()
    assert svg.count("<path") < 60 and "point mark container" not in svg
    brushed = render(curves.trajectories(frame, region=(0, 400), brush=True), "svg").decode()
    assert "rect mark container" in svg and "brush" in brushed  # the region stays


def test_a_large_frame_is_drawn(frame: pd.DataFrame) -> None:
    long = pd.DataFrame({"checkpoint": range(9_000), "mean_loss": 1.0, "token_group": "all"})
    assert len(data(specification(curves.trajectories(long)), "mean_loss")) == 9_000


def test_simultaneous_bands_are_drawn_below_separate_ones(frame: pd.DataFrame) -> None:
    one = frame[frame["token_group"] == "word start"].drop(columns="token_group")
    one = one.rename(columns={"mean_loss": "difference"})
    one = one.assign(everywhere_low=one["low"] - 1, everywhere_high=one["high"] + 1)
    layers = curves.simultaneous_difference(one).to_dict()["layer"]
    assert layers[0]["encoding"]["y"]["field"] == "everywhere_low"
    assert layers[-1]["mark"]["type"] == "rule"


def test_cells_of_the_heat_map_cover_the_run_without_gaps(store: Store) -> None:
    losses = queries.positions(store).frame
    cells = data(specification(heat_map.loss_by_position(losses)), "since", "until")
    assert len(cells) == len(losses)
    assert cells["mean_loss"].tolist() == losses["mean_loss"].tolist()
    edges = cells.drop_duplicates("checkpoint")
    np.testing.assert_allclose(edges["since"].iloc[1:], edges["until"].iloc[:-1])
    assert edges["since"].iloc[0] == store.steps[0] and edges["until"].iloc[-1] == store.steps[-1]


def test_events_are_drawn_below_the_curve(demo: Store) -> None:
    found = queries.events(demo)
    spec = specification(found.chart())
    assert data(spec, "value")["value"].tolist() == found.trajectory["value"].tolist()
    assert data(spec, "peak")["last"].tolist() == found.frame["last"].tolist()
    assert {"spike", "fastest fall"} <= set(data(spec, "peak")["kind"])


def test_a_chart_without_events_is_drawn(store: Store, demo: Store) -> None:
    none = queries.events(demo).frame[:0]
    chart = analyses.events(none, np.array(store.steps), np.ones(len(store.steps)))
    assert render(chart, "svg").startswith(b"<svg")


def test_a_leaderboard_shows_two_standard_errors_of_its_first_rows(demo: Store) -> None:
    rows = queries.explain(demo, (1380, 1640)).frame.head(40)
    shown = data(specification(analyses.explain(rows, 1380, 1640)), "difference", "low")
    rows = rows.head(analyses.SHOWN)
    assert shown["difference"].tolist() == pytest.approx(rows["difference"].tolist())
    low = rows["difference"] - 2 * rows["standard_error"]
    assert shown["low"].tolist() == pytest.approx(low.tolist())


def test_an_overlap_is_next_to_placebos_and_chance(demo: Store) -> None:
    rows = queries.overlap(demo, (1380, 1640), (1660, 1920)).frame
    shown = data(specification(analyses.overlap(rows)), "pair", "n")
    for column, name in (
        ("shared", "shared"),
        ("expected_placebo", "in placebo regions, on average"),
    ):
        assert shown[shown["tokens"] == name]["n"].tolist() == rows[column].tolist()


def test_matching_is_shown_before_and_after(demo: Store) -> None:
    found = queries.matched(demo, "copyable")
    spec = specification(found.chart())
    both = data(spec, "difference").set_index("token_group")["difference"]
    known = found.difference["difference"].notna()
    after = both["after matching"].astype(float)
    assert after.dropna().tolist() == found.difference["difference"][known].tolist()
    assert both["before matching"].tolist() == found.difference["before"].tolist()
    shown = data(specification(analyses.balance(found.balance)), "size", "side")
    after = shown[shown["side"] == "after matching"]["signed"]
    assert after.tolist() == pytest.approx(found.balance["after"].tolist())


def test_a_stack_is_drawn_with_the_layers_for_the_pointer(demo: Store, store: Store) -> None:
    difference = demo.difference("copyable", "not_copyable")
    results = (
        queries.matched(demo, "copyable"),
        queries.ngrams(demo),
        queries.clusters(store, k=2),
    )
    charts = [result.chart() for result in (*results, queries.events(demo))]
    frame = demo.trajectories({"a": "copyable", "b": "not_copyable"})
    below = curves.relative(difference, "difference", "first minus second (nats)")
    for chart in (*charts, theme.stack(curves.trajectories(frame), below)):
        spec = specification(chart)
        assert "hover" in json.dumps(spec["params"])
        assert vl_convert.vegalite_to_vega(json.dumps(spec))
        assert vl_convert.vegalite_to_svg(json.dumps(spec)).startswith("<svg")


def test_each_panel_of_a_stack_is_a_chart_of_its_own(demo: Store) -> None:
    found = queries.mechanism(demo)
    for panel in panels(found.chart()):
        assert panel["width"] == "container" and len(panel["params"]) == 1
        assert set(panel["params"][0]["views"]) <= {layer.get("name") for layer in panel["layer"]}
        assert 0 < len(panel["datasets"]) < 4
        assert vl_convert.vegalite_to_vega(json.dumps(panel))


def test_panels_of_a_stack_have_their_own_names(demo: Store) -> None:
    found = queries.mechanism(demo, between=(1000, None))
    spec = specification(found.chart())  # a warning would fail the test
    assert [panel["width"] for panel in spec["vconcat"]] == [theme.WIDTH] * 3
    names = [param["name"] for param in spec["params"]]
    assert len(names) == len(set(names)) == 3
    drawn = data(specification(analyses.leads(found.variants)), "by")
    assert drawn["probe"].tolist() == ["prefix_matching_layer_1"] * 5
    assert drawn["lead_factor"].to_numpy() == pytest.approx(10 ** -found.variants["lead"])


def test_ngrams_are_reference_lines_above_their_correlations(demo: Store) -> None:
    result = queries.ngrams(demo)
    found, spec = result.frame, specification(result.chart())
    losses = data(spec, "mean_loss", "token_group").set_index("token_group")["mean_loss"]
    assert losses["the model"].tolist() == found["mean_loss"].tolist()
    assert losses["bigrams"].tolist() == found["bigram_loss"].tolist()
    correlations = data(spec, "correlation").set_index("token_group")["correlation"]
    assert correlations["unigrams"].tolist() == found["unigram_correlation"].tolist()


def test_types_and_single_tokens_are_drawn_from_their_frames(demo: Store) -> None:
    types = queries.type_changes(demo, (1380, 1640)).frame
    shown = data(specification(analyses.type_changes(types)), "change")
    assert shown["change"].tolist() == types["change"].tolist()
    tokens = demo.zoom(1380, 1640, k=3).decreased.assign(token_list="Most decreased")
    shown = data(specification(changes.token_trajectories(tokens, (1380, 1640))), "loss")
    assert shown["loss"].tolist() == tokens["loss"].tolist()


@pytest.mark.parametrize("mark", quick.MARKS)
def test_a_quick_chart_takes_any_columns(mark: str) -> None:
    answer = pd.DataFrame({"a.b[0]": [1, 2, None], "flag": [True, False, True], "c": list("xyz")})
    spec = specification(quick.draw(answer, "a.b[0]", "flag", "c", mark))
    assert data(spec, "x")["y"].tolist() == ["True", "False", "True"]


def test_clusters_and_categories_are_drawn_from_their_frames(store: Store) -> None:
    found = queries.clusters(store, k=2)
    means = data(specification(found.chart()), "mean_loss", "token_group")
    assert means["mean_loss"].tolist() == found.means["mean_loss"].tolist()
    assert set(means["token_group"]) == {"cluster 1", "cluster 2"}
    categories = queries.rho_1(store)
    lines = data(specification(categories.chart()), "loss")
    ends = [*categories.frame["mean_start"], *categories.frame["mean_end"]]
    assert lines["loss"].tolist() == pytest.approx(ends)


def test_runs_are_drawn_above_their_mean(tmp_path: Path) -> None:
    stores = [Store(build_store(tmp_path / str(seed), sources=12)) for seed in (1, 2)]
    found = queries.compare(stores)
    spec = specification(found.chart())
    assert data(spec, "token_group")["mean_loss"].tolist() == found.runs["mean_loss"].tolist()
    assert [panel["width"] for panel in spec["vconcat"]] == [theme.WIDTH] * 2


def test_one_token_is_marked_at_the_steps(store: Store) -> None:
    frame = text.trajectory(store, 3)
    spec = specification(changes.one_token(frame, [8, 400]))
    rows = sorted(len(values) for values in spec["datasets"].values())
    assert rows == [2, len(store.steps)]
    (marked,) = (values for values in spec["datasets"].values() if len(values) == 2)
    at = frame[frame["checkpoint"].isin([8, 400])]
    assert [row["loss"] for row in marked] == at["loss"].tolist()
