"""Probes are read as they were written, and a planted lead over a group is found."""

import numpy as np
import pandas as pd
import pytest

from queries import QueryError, Store, StoreError, events, mechanism
from queries.__main__ import main
from queries.analyses.mechanism import event_window
from queries.stats.time_series.leads import FEWEST
from store.layout import Layout
from tests.queries.support.catalogs import ask
from tests.queries.support.probed import write_probes
from tests.queries.support.simulated import blank_store
from tests.queries.support.stores import add_checkpoint, build_store

STEPS = [0, 1, 2, 4, 8, 16, 32, 64, *np.unique(np.logspace(2, 3.5, 60).round().astype(int))]
PLACE = np.log10(1.0 + np.array(STEPS))
LEAD = 0.1
GROUP = "position % 2 = 0"


def rise(centre: float) -> np.ndarray:
    return 1 / (1 + np.exp(-(PLACE - centre) / 0.05))


@pytest.fixture(scope="module")
def probed(tmp_path_factory) -> Store:
    """Layer 1's head 1 forms at 2.6, the repeats' gain with it, and the group 0.1 decades later."""
    root = tmp_path_factory.mktemp("stores") / "probed"
    n_tokens = blank_store(root, sources=12)
    rng = np.random.default_rng(0)
    even = (pd.read_parquet(Layout(root).tokens)["position"] % 2 == 0).to_numpy()
    for at, step in enumerate(STEPS):
        falls = 2 * rise(2.6 + LEAD)[at] * even + 3 * rise(1.2)[at]
        add_checkpoint(root, step, 6 - falls + rng.normal(0, 0.05, n_tokens))
    scores = np.full((len(STEPS), 2, 2), 0.01) + rng.normal(0, 0.001, (len(STEPS), 2, 2))
    scores[:, 1, 1] += 0.5 * rise(2.6)
    losses = 6 + rng.normal(0, 0.01, (len(STEPS), 2))
    losses[:, 1] -= 3 * rise(2.6)
    write_probes(root, STEPS, losses, scores)
    return Store(root)


def test_probes_are_what_was_written_in_python_in_sql_and_in_the_catalog(probed):
    frame = probed.probes
    assert list(frame) == ["checkpoint", "probe", "layer", "head", "value"]
    assert len(frame) == len(STEPS) * 6
    written = pd.read_parquet(Layout(probed.path).probes).drop(columns="weights_sha256")
    order = ["checkpoint", "probe", "layer", "head"]
    for found in (
        frame,
        probed.sql("from probes"),
        ask(Layout(probed.path).catalog, "from probes"),
    ):
        ours, theirs = (f.sort_values(order, ignore_index=True) for f in (found, written))
        pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)


def test_probes_of_checkpoints_that_are_not_scored_are_left_out(tmp_path):
    root = build_store(tmp_path / "s", steps=(1, 2))
    write_probes(root, [1, 2, 3], np.ones((3, 2)), None)
    store = Store(root)
    assert set(store.probes["checkpoint"]) == {1, 2}
    assert set(store.sql("from probes")["checkpoint"]) == {1, 2, 3}


def test_the_catalog_has_probes_once_the_store_has(own):
    store = Store(own)
    assert store.probes is None
    assert "probes" not in set(store.make_catalog()["name"])
    write_probes(own, store.steps, np.ones((len(store.steps), 2)), None)
    again = Store(own)  # opening makes the catalog anew
    assert len(ask(Layout(own).catalog, "from probes")) == len(again.probes) > 0


def test_curves_are_the_losses_the_highest_score_of_each_layer_and_the_group(probed):
    curves = mechanism(probed, GROUP).curves.set_index(["curve", "checkpoint"])
    probes = probed.probes
    of = probes.groupby(["probe", "checkpoint"])["value"]
    first = of.get_group(("loss_first", STEPS[5])).item()
    second = of.get_group(("loss_second", STEPS[5])).item()
    assert curves.loc[("repeat_gain", STEPS[5]), "value"] == first - second
    scores = probes[(probes["layer"] == 1) & (probes["checkpoint"] == STEPS[-1])]["value"]
    last = curves.loc[("prefix_matching_layer_1", STEPS[-1])]
    assert last["value"] == scores.max() > 0.4
    assert np.isnan(last["low"])
    ours = probed.trajectories({"": GROUP}).set_index("checkpoint")
    theirs = curves.loc["group"]
    np.testing.assert_array_equal(
        theirs[["value", "low", "high"]], ours[["mean_loss", "low", "high"]]
    )


@pytest.mark.parametrize("between", [(None, None), (30, 3000)])
def test_a_planted_lead_is_found_where_the_baseline_leaves_out_what_all_learn(probed, between):
    found = mechanism(probed, GROUP, f"not ({GROUP})", between=between)
    leads = found.leads.set_index("probe")
    assert list(leads.index) == [
        "repeat_gain",
        "prefix_matching_layer_0",
        "prefix_matching_layer_1",
    ]
    for name in ("repeat_gain", "prefix_matching_layer_1"):
        line = leads.loc[name]
        assert line["lead"] == pytest.approx(LEAD, abs=0.02)
        assert 0 < line["low"] <= LEAD <= line["high"]
        assert line["verdict"] == "probe leads"
        assert line["half_way_probe"] == pytest.approx(10**2.6, rel=0.05)
        assert line["half_way_group"] == pytest.approx(10 ** (2.6 + LEAD), rel=0.05)
    assert leads.loc["prefix_matching_layer_1", "probe_change"] == pytest.approx(0.5, abs=0.01)
    small = leads.loc["prefix_matching_layer_0"]
    assert small["verdict"] == "cannot tell: the score changes by less than 0.02"
    assert small["probe_change"] < 0.01 and np.isnan(small["lead"])
    assert leads["group_change"].to_numpy() == pytest.approx(-2, abs=0.1)
    assert found.variants["probe"].value_counts().to_dict() == {
        "repeat_gain": 5,
        "prefix_matching_layer_1": 5,
    }


def test_without_scores_there_are_the_losses_alone(tmp_path, probed):
    root = build_store(tmp_path / "s", steps=tuple(range(25)))
    losses = np.column_stack([np.full(25, 6.0), 6 - np.arange(25) / 10])
    write_probes(root, list(range(25)), losses, None)
    found = mechanism(Store(root), "true")
    assert found.leads["probe"].tolist() == ["repeat_gain"]
    assert set(found.curves["curve"]) == {"loss_first", "loss_second", "repeat_gain", "group"}


def test_a_store_without_probes_gets_a_sentence_that_says_how_to_get_them(store):
    with pytest.raises(StoreError, match=r"has no probes: add --probes to the .*ingest run"):
        mechanism(store)


def test_too_few_checkpoints_have_curves_and_no_leads(probed):
    found = mechanism(probed, GROUP, between=(STEPS[0], STEPS[5]))
    assert found.curves["checkpoint"].nunique() == 6
    assert found.leads["verdict"][0] == "cannot tell: fewer than 30 checkpoints (6)"
    assert found.variants.empty


def test_where_no_checkpoint_is_left_it_is_said_where_they_are(probed):
    with pytest.raises(
        QueryError, match=r"no checkpoint between 5000 and the last .* there are probes of 0 to"
    ):
        mechanism(probed, GROUP, between=(5000, None))


def test_the_command_gives_leads_curves_and_a_picture(probed, tmp_path, capsys):
    asked = ["mechanism", str(probed.path), GROUP, f"not ({GROUP})"]
    assert main(asked) == 0
    assert capsys.readouterr().out.startswith("probe,probe_change,group_change,half_way_probe")
    assert main([*asked, "--show", "variants"]) == 0
    assert capsys.readouterr().out.startswith("probe,window,baseline,lead,low,high\n")
    assert main([*asked, "--show", "curves"]) == 0
    assert capsys.readouterr().out.startswith("checkpoint,curve,value,low,high\n")
    picture = tmp_path / "m.svg"
    assert main([*asked, "--format", "svg", "--output", str(picture)]) == 0
    for words in ("highest prefix-matching score", "loss on repeated tokens", "layer"):
        assert words in picture.read_text()
    assert main(["mechanism", str(probed.path), "true", "--first", "5000"]) == 2


@pytest.mark.parametrize("first", [None, 300, 700, 1000, 1200])
def test_the_demo_cannot_tell_whether_its_head_or_copying_comes_first(demo, first):
    """The numbers of docs/methods.md."""
    found = mechanism(demo, "copyable", "not_copyable", between=(first, None))
    lead = found.leads.set_index("probe").loc["prefix_matching_layer_1"]
    assert lead["verdict"].startswith("cannot tell: ")
    if first == 1000:
        assert lead["low"] < lead["lead"] < 0 < lead["high"]
        assert lead[["half_way_probe", "half_way_group"]].round().tolist() == [1662, 1567]
        assert (found.variants["high"] < 0).tolist() == [True] * 4 + [False]


def test_the_window_is_around_the_fastest_fall(demo: Store) -> None:
    first, last = event_window(demo, "copyable", "not_copyable")
    falls = events(demo, "copyable", "not_copyable").frame.query("kind == 'fastest_fall'")
    begin, end = int(falls["first"].iloc[0]), int(falls["last"].iloc[0])
    assert demo.steps[0] < first < begin < end < last < demo.steps[-1]
    before, inside, after = np.diff(np.log(1.0 + np.array([first, begin, end, last])))
    assert [before, after] == pytest.approx([inside / 2, inside / 2], rel=0.2)
    assert demo.steps.index(last) - demo.steps.index(first) + 1 >= FEWEST


def test_without_enough_checkpoints_the_window_is_the_whole_run(store: Store) -> None:
    assert event_window(store, "true") == (store.steps[0], store.steps[-1])
