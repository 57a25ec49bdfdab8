"""The commands kinds, rho and features say what Python says, keep it, and draw it."""

import pandas as pd
import pytest

from queries import GroupError, Store, rho_1
from queries.__main__ import main
from queries.analyses import clusters
from queries.analyses.rho_1 import rho_1_summary
from queries.charts.vega import categories_spec, kinds_spec, render
from tests.queries.command_line.test_statistics_commands import said


def test_kinds(capsysbinary, store, folder):
    expected = clusters(store, "row > 3", k=3, compared="level")
    how = ("--kinds", 3, "--compared", "level", "--where", "row > 3")
    for shown in ("kinds", "means", "features", "members"):
        got = said(capsysbinary, "kinds", folder, *how, "--show", shown)
        pd.testing.assert_frame_equal(
            got, getattr(expected, shown).reset_index(drop=True), check_dtype=False
        )
    typical = said(capsysbinary, "kinds", folder, *how, "--show", "typical")
    assert typical["row"].tolist() == expected.typical["row"].tolist()
    assert (typical["token"].fillna("") != "").any()
    assert main(["kinds", str(folder), "--kinds", "3", "--show", "stability"]) == 2


def test_what_is_saved_can_be_asked_for_listed_and_deleted(capsysbinary, own):
    said(capsysbinary, "kinds", own, "--kinds", 2, "--save", "kind")
    said(capsysbinary, "rho", own, "--log", "--save", "rho", "--where", "is_word_start")
    listed = said(capsysbinary, "features", own, "--save", "acquired", "acquisition(row)")
    assert listed["name"].tolist() == ["acquired", "kind", "rho"]
    store = Store(own)
    members = clusters(store, k=2).members
    assert len(store.members("kind = 2")) == (members["kind"] == 2).sum()
    assert (
        store.members("acquired <= 4").tolist() == store.members("acquisition(row) <= 4").tolist()
    )
    tokens = rho_1(store, "is_word_start", log=True)
    falling = tokens.loc[tokens["category"] == "H->L", "row"].tolist()
    assert store.members("rho = 'H->L'").tolist() == falling
    assert main(["rho", str(own), "--save", "kind"]) == 2
    assert len(said(capsysbinary, "features", own, "--delete", "kind")) == 2
    assert "kind" not in Store(own).sql("from tokens limit 1")


def test_rho(capsysbinary, folder, store):
    got = said(capsysbinary, "rho", folder)
    expected = rho_1_summary(rho_1(store))
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-5)


def test_an_expression_that_is_none_is_told(store):
    assert store.evaluate("position + 1").tolist() == (
        store.sql("select position + 1 as x from tokens order by row")["x"].tolist()
    )
    assert store.evaluate("position * 0.5").dtype == "float64"
    for wrong, says in (("position, 1", "more than one expression"), ("nothing", "no column")):
        with pytest.raises(GroupError, match=says):
            store.evaluate(wrong)


def test_pictures_hold_the_numbers(store):
    found = clusters(store, k=2)
    losses, shapes = kinds_spec(found.means)["vconcat"]
    assert [v["mean_loss"] for v in losses["data"]["values"]] == pytest.approx(
        found.means["mean_loss"].tolist()
    )
    assert len(shapes["layer"]) == 1
    assert b"mean shape" in render(kinds_spec(found.means), "svg")
    summary = rho_1_summary(rho_1(store))
    spec = categories_spec(summary)
    shown = [v["loss"] for v in spec["data"]["values"][:4]]
    known = summary["mean_start"].astype(object).where(summary["mean_start"].notna(), None)
    assert shown == pytest.approx(known.tolist(), abs=1e-4)
    assert render(spec, "svg").startswith(b"<svg")
