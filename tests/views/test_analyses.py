"""The analyses' pages run, say what is seen and what is wrong, on small stores."""

import re
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from queries import Store
from tests.queries.probed import write_probes
from tests.queries.stores import build_store
from tests.views.test_figures_sql import is_answered, script


@pytest.fixture
def small(tmp_path) -> Path:
    return build_store(tmp_path / "small", sources=12)


def shown(folder: Path, page: str, **query: object) -> AppTest:
    app = AppTest.from_function(script, args=(str(folder), page), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    found = [*app.error, *app.warning, *app.info, *app.caption, *app.success, *app.markdown]
    return " ".join(str(element.value) for element in found)


@pytest.fixture
def probed(tmp_path) -> Path:
    """A store with probes: two layers, whose second one's scores rise."""
    root = build_store(tmp_path / "probed", sources=12, steps=tuple(range(0, 240, 10)))
    up = rising(24)
    scores = np.stack([0 * up, up], axis=1)[:, :, None] * [0.2, 0.9] + 0.05
    write_probes(root, list(range(0, 240, 10)), np.stack([9 + 0 * up, 9 - 5 * up], axis=1), scores)
    return root


def rising(n: int) -> np.ndarray:
    """From 0 to 1, float64 (n,), with a little noise."""
    return 1 / (1 + np.exp(-np.linspace(-6, 6, n))) + np.random.default_rng(0).normal(0, 0.01, n)


def n_charts(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


def test_a_comparison_tells_how_many_tokens_have_no_control(small):
    app = shown(small, "fair", compared="seen_before = 0", alike_in="position", bins="2")
    assert n_charts(app) == 3
    assert "have controls" in said(app) or "have no control" in said(app)
    assert not app.error


def test_an_expression_can_be_matched_on_and_a_mistake_gets_a_sentence(small):
    app = shown(small, "fair", compared="seen_before = 0", alike_in="position % 2")
    assert n_charts(app) == 3
    app = shown(small, "fair", compared="seen_before = 0", alike_in="positoin")
    assert "positoin" in app.error[0].value
    assert n_charts(app) == 0


def test_a_group_of_all_tokens_has_nothing_to_be_compared_with(small):
    app = shown(small, "fair", compared="true")
    assert "leaves no other token" in app.error[0].value


def test_many_lost_tokens_are_a_warning(small):
    app = shown(
        small,
        "fair",
        compared='"row" % 2 = 0 and position < 9',
        alike_in="position",
        among="position < 4",
    )
    assert "have no control" in app.warning[0].value
    assert "others alone" in app.warning[0].value
    assert n_charts(app) == 3


def test_kinds_wait_to_be_asked_for(small):
    app = shown(small, "kinds")
    assert n_charts(app) == 0 and "Find the kinds" in app.toggle(key="find_kinds").label
    app.toggle(key="find_kinds").set_value(True).run()
    assert n_charts(app) == 3
    assert re.search(r"\*\*\d kinds.\*\* .* agreement of \*\*[01]\.\d\d\*\*", said(app))
    assert "cloud" in said(app)


def test_a_given_number_of_kinds_is_not_called_stable(small):
    app = shown(small, "kinds", find_kinds="true", kinds_number="3")
    assert n_charts(app) == 2
    assert "3 kinds**, as asked" in said(app)
    assert [tab.label.split(" (")[0] for tab in app.tabs] == ["Kind 1", "Kind 2", "Kind 3"]


def links(app: AppTest) -> list[str]:
    return [link.proto.label for link in app.get("page_link")]


def test_kinds_are_kept_as_a_feature_and_offered_as_groups(small):
    app = shown(small, "kinds", find_kinds="true", kinds_number="2")
    assert not links(app)
    app.button(key="keep_kind_save").click().run()
    assert not app.error and not app.exception
    assert links(app) == [f"“Kind {n} by shape” as a group on Trajectories" for n in (1, 2)]
    kept = Store(small)
    table = kept.sql("select kind, count(*) as n from tokens group by all order by kind")
    assert table["n"].sum() == kept.manifest.n_tokens and table["kind"].tolist() == [1, 2]
    app = shown(small, "kinds", find_kinds="true", kinds_number="3")
    assert not links(app)  # these are other kinds


def test_what_cannot_be_kept_gets_a_sentence(small):
    (small / "features").write_text("no folder")
    app = shown(small, "kinds", sorted_by="Rho-1's four categories")
    app.button(key="keep_rho_save").click().run()
    assert "cannot be changed" in app.error[0].value
    app.text_input(key="keep_rho").set_value("position").run()
    app.button(key="keep_rho_save").click().run()
    assert "name of another column" in app.error[0].value


def test_categories_are_kept_and_offered_where_they_have_tokens(small):
    app = shown(small, "kinds", sorted_by="Rho-1's four categories", where="position > 1")
    app.button(key="keep_rho_save").click().run()
    there = set(Store(small).sql("select distinct rho from tokens where rho is not null")["rho"])
    assert len(links(app)) == len(there) > 1
    rest = Store(small).sql("select distinct rho from tokens where position = 1")["rho"]
    assert rest.isna().all()


def test_kinds_of_too_few_tokens_get_a_sentence(small):
    app = shown(small, "kinds", find_kinds="true", where="position = 1")
    assert "too few to tell" in app.error[0].value


def test_positions_tell_their_slope_and_a_position_without_tokens_gets_a_sentence(small):
    app = shown(small, "positions", late="9", early="2")
    assert n_charts(app) == 3
    assert re.search(r"At step 1,000: [+-]0\.\d+ nats for each doubling", said(app))
    app.number_input(key="early").set_value(64).run()
    assert n_charts(app) == 2
    assert "selects none" in app.info[0].value


def test_one_position_alone_has_a_map_but_no_slope(small):
    app = shown(small, "positions", where="position = 3")
    assert n_charts(app) == 1
    assert "widen the group" in app.info[0].value


def test_ngrams_tell_when_they_were_reached_and_are_kept(small):
    app = shown(small, "ngrams")
    assert n_charts(app) == 2
    assert re.search(r"loss of \*\*bigrams\*\* .* \*\*(never|first at step [\d,]+)\*\*", said(app))
    app.button(key="keep_ngrams").click().run()
    assert not app.error and "features of this store" in said(app)
    assert {"unigram_loss", "bigram_loss"} <= set(Store(small).token_columns)


def test_one_document_has_no_ngrams(tmp_path):
    app = shown(build_store(tmp_path / "one", sources=1), "ngrams")
    assert "use another text" in app.error[0].value


def test_a_store_without_probes_is_told_how_to_get_them(small):
    app = shown(small, "evidence")
    assert n_charts(app) == 0 and not app.error
    assert "no probes" in said(app) and "--probes" in app.code[0].value
    assert links(app) == ["Without probes: what the position does to the loss"]


def test_probes_stand_beside_the_group_and_tell_which_moves_first(probed):
    app = shown(probed, "evidence", evidence="position > 5", minus="false")
    assert n_charts(app) == 4 and not app.error
    for figure in app.session_state["figures"]:
        is_answered(figure)
    assert "gain on repeats" in said(app) and "prefix matching, layer 1" in said(app)
    asked = {"evidence": "position > 5", "baseline": "position < 6"}
    assert n_charts(shown(probed, "evidence", **asked)) == 4


def test_models_whose_attention_is_not_known_have_no_scores(probed):
    steps = Store(probed).steps
    write_probes(probed, steps, rising(len(steps))[:, None] * [1, 2] + 3, None)
    app = shown(probed, "evidence", evidence="position > 5", minus="false")
    assert n_charts(app) == 3 and "prefix matching" not in said(app)


def test_a_link_that_names_no_group_gets_the_usual_one(small):
    write_probes(small, Store(small).steps, np.ones((8, 2)), None)
    assert "copyable" in said(shown(small, "evidence", evidence=""))


def test_too_few_checkpoints_to_tell_have_curves_and_a_sentence(small):
    write_probes(small, Store(small).steps, np.ones((8, 2)), None)
    app = shown(small, "evidence", evidence="position > 5", minus="false")
    assert "expected at least 20" in app.info[0].value
    assert n_charts(app) == 2
