"""The analyses' pages run on small stores, with findings and messages."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import queries
from queries import Store
from queries.analyses.registry import ANALYSES
from tests.queries.support.probed import write_probes
from tests.queries.support.stores import build_store
from tests.views.apps import drawn, links, n_charts, python_gives_the_data, said, shown
from views import pages
from views.pages.mechanism import sentence_of
from views.widgets.figure import FIGURES

RHO_1 = "by Rho-1's four categories"


@pytest.fixture
def probed(tmp_path: Path) -> Path:
    """A store with probes: two layers, whose second one's scores rise."""
    root = build_store(tmp_path / "probed", sources=12, steps=tuple(range(0, 240, 10)))
    up = rising(24)
    scores = np.stack([0 * up, up], axis=1)[:, :, None] * [0.2, 0.9] + 0.05
    write_probes(root, list(range(0, 240, 10)), np.stack([9 + 0 * up, 9 - 5 * up], axis=1), scores)
    return root


def rising(n: int) -> np.ndarray:
    """From 0 to 1, float64 (n,), with a little noise."""
    return 1 / (1 + np.exp(-np.linspace(-6, 6, n))) + np.random.default_rng(0).normal(0, 0.01, n)


def test_a_comparison_reports_how_many_tokens_have_no_control(folder: Path) -> None:
    app = shown(folder, "matched", focus="seen_before = 0", on="position", bins="2")
    assert n_charts(app) == 3
    assert "have controls" in said(app) or "have no control" in said(app)
    assert not app.error


def test_an_expression_can_be_matched_on_and_a_mistake_gets_a_message(folder: Path) -> None:
    app = shown(folder, "matched", focus="seen_before = 0", on="position % 2")
    assert n_charts(app) == 3
    app = shown(folder, "matched", focus="seen_before = 0", on="positoin")
    assert "positoin" in app.error[0].value
    assert n_charts(app) == 0


def test_a_group_of_all_tokens_has_no_controls(folder: Path) -> None:
    app = shown(folder, "matched", focus="true")
    assert "leaves no other token" in app.error[0].value


def test_many_tokens_without_a_control_cause_a_warning(folder: Path) -> None:
    app = shown(
        folder,
        "matched",
        focus='"row" % 2 = 0 and position < 9',
        on="position",
        where="position < 4",
    )
    assert "have no control" in app.warning[0].value
    assert "covers only the others" in app.warning[0].value
    assert n_charts(app) == 3


def test_clustering_waits_for_its_switch(folder: Path) -> None:
    app = shown(folder, "clusters")
    assert n_charts(app) == 0 and "Cluster trajectories" in app.toggle(key="cluster").label
    app.toggle(key="cluster").set_value(True).run()
    assert n_charts(app) == 4
    assert "**No clusters: a continuum.**" in said(app)
    assert re.search("separate clusters: [a-z ]+. To divide the continuum nevertheless", said(app))


def test_a_requested_number_of_clusters_is_not_called_stable(folder: Path) -> None:
    app = shown(folder, "clusters", cluster="true", n_clusters="3")
    assert n_charts(app) == 2
    assert "3 clusters**, as requested" in said(app)
    assert [tab.label.split(" (")[0] for tab in app.tabs] == ["Cluster 1", "Cluster 2", "Cluster 3"]


def test_clusters_are_saved_as_a_feature_and_offered_as_groups(small: Path) -> None:
    app = shown(small, "clusters", cluster="true", n_clusters="2")
    assert not links(app)
    app.button(key="save_cluster_button").click().run()
    assert not app.error and not app.exception
    assert links(app) == [f"Show “Cluster {n} by shape” on Trajectories" for n in (1, 2)]
    kept = Store(small)
    table = kept.sql("select cluster, count(*) as n from tokens group by all order by cluster")
    assert table["n"].sum() == kept.manifest.n_tokens and table["cluster"].tolist() == [1, 2]
    app = shown(small, "clusters", cluster="true", n_clusters="3")
    assert not links(app)  # these are other clusters


def test_a_feature_that_cannot_be_saved_gets_a_message(small: Path) -> None:
    (small / "features").write_text("no folder")
    app = shown(small, "clusters", grouped=RHO_1)
    app.button(key="save_rho_button").click().run()
    assert "cannot be changed" in app.error[0].value
    app.text_input(key="save_rho").set_value("position").run()
    app.button(key="save_rho_button").click().run()
    assert "name of another column" in app.error[0].value


def test_categories_are_saved_and_offered_if_they_have_tokens(small: Path) -> None:
    app = shown(small, "clusters", grouped=RHO_1, where="position > 1")
    app.button(key="save_rho_button").click().run()
    there = set(Store(small).sql("select distinct rho from tokens where rho is not null")["rho"])
    assert len(links(app)) == len(there) > 1
    rest = Store(small).sql("select distinct rho from tokens where position = 1")["rho"]
    assert rest.isna().all()


def test_clusters_of_too_few_tokens_get_a_message(folder: Path) -> None:
    app = shown(folder, "clusters", cluster="true", where="position = 1")
    assert "too few to choose" in app.error[0].value


def test_positions_have_a_slope_and_a_position_without_tokens_gets_a_message(folder: Path) -> None:
    app = shown(folder, "positions", late="9", early="2")
    assert n_charts(app) == 3
    assert re.search(r"At step 1,000: [+−]0\.\d+ nats per doubling", said(app))
    app.number_input(key="early").set_value(64).run()
    assert n_charts(app) == 2
    assert "selects none" in app.info[0].value


def test_a_single_position_has_a_heat_map_but_no_slope(folder: Path) -> None:
    app = shown(folder, "positions", where="position = 3")
    assert n_charts(app) == 1
    assert "widen the group" in app.info[0].value


def test_the_step_that_matches_ngrams_is_reported_and_they_are_saved(small: Path) -> None:
    app = shown(small, "ngrams")
    assert n_charts(app) == 2
    assert re.search(
        r"matches the \*\*bigram\*\* loss .* \*\*at (no checkpoint|step [\d,]+)\*\*", said(app)
    )
    app.button(key="save_ngrams").click().run()
    assert not app.error and "features of this store" in said(app)
    assert {"unigram_loss", "bigram_loss"} <= set(Store(small).token_columns)


def test_one_document_has_no_ngrams(tmp_path: Path) -> None:
    app = shown(build_store(tmp_path / "one", sources=1), "ngrams")
    assert "use another text" in app.error[0].value


def test_a_store_without_probes_explains_how_to_add_them(folder: Path) -> None:
    app = shown(folder, "mechanism")
    assert n_charts(app) == 0 and not app.error
    assert "no probes" in said(app) and "--probes" in app.code[0].value
    assert links(app) == ["Without probes: the effect of the position on the loss"]


def test_probes_are_compared_with_the_group(probed: Path) -> None:
    app = shown(probed, "mechanism", focus="position > 5", minus="false")
    assert n_charts(app) == 3 and not app.error
    for figure in drawn(probed, "mechanism", focus="position > 5", minus="false"):
        python_gives_the_data(figure)
    assert "gain on repeats" in said(app) and "prefix matching, layer 1" in said(app)
    assert "cannot tell which changes first: fewer than 30 checkpoints (24)" in said(app)
    query = {"group": ["position < 6", "position > 5"]}
    assert n_charts(shown(probed, "mechanism", **query)) == 3


def test_a_lead_that_depends_on_the_window_is_not_called() -> None:
    query = {"region": "1000-3000"}
    app = shown(Path("data/demo"), "mechanism", **query)
    assert n_charts(app) == 4 and not app.error
    for figure in drawn(Path("data/demo"), "mechanism", **query):
        python_gives_the_data(figure)
    layer = next(text for text in said(app).split("\n") if "layer 1" in text)
    assert "half-way at step 1,6" in layer and "cannot tell which changes first" in layer


def test_models_of_unknown_attention_have_no_scores(probed: Path) -> None:
    steps = Store(probed).steps
    write_probes(probed, steps, rising(len(steps))[:, None] * [1, 2] + 3, None)
    app = shown(probed, "mechanism", focus="position > 5", minus="false")
    assert n_charts(app) == 2 and "prefix matching" not in said(app)


def test_a_link_without_a_group_gets_the_default(small: Path) -> None:
    write_probes(small, Store(small).steps, np.ones((8, 2)), None)
    assert "copyable" in said(shown(small, "mechanism", focus=""))


def test_too_few_checkpoints_give_curves_and_a_message(small: Path) -> None:
    write_probes(small, Store(small).steps, np.ones((8, 2)), None)
    app = shown(small, "mechanism", focus="position > 5", minus="false")
    assert "cannot tell which changes first: fewer than 30 checkpoints (8)" in said(app)
    assert n_charts(app) == 2


def test_every_analysis_of_the_registry_is_in_the_navigation(folder: Path) -> None:
    found = shown(folder, "tour").session_state["pages"]
    sections = pages.sections(found)
    for analysis in ANALYSES:
        page = found[analysis.name]
        assert page in sections[analysis.section]
        assert (page.title, page.url_path) == (analysis.title, analysis.name)
    assert sections[pages.GENERAL][0].title == "Trajectories"


GENERIC = {
    "age_of_acquisition": {"age_of_acquisition_min_count": "2"},
    "explain": {"explain_min_count": "5", "explain_claim": "documents"},
    "overlap": {"overlap_k": "5"},
    "type_changes": {"type_changes_min_count": "2"},
    "rho_1": {"rho_1_where": "position > 1"},
    "position_slope": {},
    "in_context_score": {"in_context_score_late": "9", "in_context_score_early": "2"},
}
"""Analyses without a page of their own, and the options that suit a small store."""


@pytest.mark.parametrize("name", GENERIC)
def test_an_analysis_without_a_page_has_a_chart_a_table_and_a_script(
    name: str, folder: Path
) -> None:
    app = shown(folder, name, **GENERIC[name])
    assert not app.error and n_charts(app) == 1 and len(app.dataframe) == 1
    (figure,) = app.session_state[FIGURES].values()
    assert len(figure.frame) and figure.script and figure.language in ("sql", "python")


def test_the_generic_page_shows_what_the_analysis_returns(folder: Path) -> None:
    (figure,) = drawn(folder, "rho_1", where="position > 1", rho_1_log="true")
    expected = queries.rho_1(Store(folder), where="position > 1", log=True)
    pd.testing.assert_frame_equal(figure.frame, expected.frame)


def test_a_mistake_on_a_generic_page_gets_a_message(folder: Path) -> None:
    app = shown(folder, "events", where="positoin = 3")
    assert "did you mean position" in app.error[0].value and n_charts(app) == 0
    assert "score at least 20" in shown(folder, "events").error[0].value


def test_runs_are_compared_if_there_are_several(folder: Path) -> None:
    assert "needs several runs" in shown(folder, "compare").info[0].value


@pytest.mark.parametrize(
    ("lead", "low", "high", "verdict", "sentence"),
    [
        (
            -0.0253,
            -0.045,
            -0.003,
            "group leads",
            "half-way at step 1,658, the group at 1,568: 1.06 times later, so it changes after the "
            "group (95% intervals reach from 1.01 to 1.11 times later).",
        ),
        (
            -0.0253,
            -0.045,
            0.008,
            "cannot tell: it depends on the window",
            "half-way at step 1,658, the group at 1,568: 1.06 times later, but cannot tell which "
            "changes first: it depends on the window (95% intervals reach from 1.02 times earlier "
            "to 1.11 times later).",
        ),
        (
            float("nan"),
            float("nan"),
            float("nan"),
            "cannot tell: too few",
            "cannot tell which changes first: too few.",
        ),
    ],
)
def test_leads_are_said_in_words(
    lead: float, low: float, high: float, verdict: str, sentence: str
) -> None:
    row = {
        "half_way_probe": 1658.0,
        "half_way_group": 1568.0,
        "lead": lead,
        "low": low,
        "high": high,
        "verdict": verdict,
    }
    assert sentence_of(row) == sentence
