"""The commands of analyses print the tables of their results, and save features on request."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from queries import (
    GroupError,
    Store,
    clusters,
    compare,
    events,
    explain,
    in_context_score,
    matched,
    mechanism,
    ngrams,
    overlap,
    position_slope,
    positions,
    rho_1,
    type_changes,
)
from queries.__main__ import main
from tests.queries.command_line.test_store_commands import printed
from tests.queries.support.stores import build_store

equal = pd.testing.assert_frame_equal


def test_overlap(
    capsysbinary: pytest.CaptureFixture[bytes], folder: Path, store: Store, tmp_path: Path
) -> None:
    regions = (0, 4, 8, 400)
    got = printed(capsysbinary, "overlap", folder, *regions, "--where", "row > 3", "--top", 9)
    equal(got, overlap(store, (0, 4), (8, 400), where="row > 3", k=9).frame)
    got = printed(capsysbinary, "overlap", folder, *regions, "--types", 5)
    equal(got, overlap(store, (0, 4), (8, 400), min_count=5).frame)
    twin = build_store(tmp_path / "twin", steps=(8, 400))
    got = printed(capsysbinary, "overlap", folder, *regions, "--other", twin)
    equal(got, overlap(store, (0, 4), (8, 400), other=Store(twin)).frame)
    unlike = build_store(tmp_path / "unlike", seed=1)
    assert main(["overlap", str(folder), "0", "4", "8", "400", "--other", str(unlike)]) == 2


def test_events_and_explain(capsysbinary: pytest.CaptureFixture[bytes], demo: Store) -> None:
    got = printed(capsysbinary, "events", demo.path)
    equal(got, events(demo).frame)
    got = printed(capsysbinary, "events", demo.path, "copyable", "not_copyable")
    equal(got, events(demo, "copyable", "not_copyable").frame)
    options = ("--min-count", 50, "--claim", "documents", "--fdr", "by")
    got = printed(capsysbinary, "explain", demo.path, 1380, 1640, *options)
    equal(got, explain(demo, (1380, 1640), min_count=50, claim="documents", fdr="by").frame)


def test_type_changes(
    capsysbinary: pytest.CaptureFixture[bytes], folder: Path, store: Store
) -> None:
    got = printed(capsysbinary, "type-changes", folder, 8, 400, "--min-count", 3)
    expected = type_changes(store, (8, 400), min_count=3).frame
    got["token_str"] = expected["token_str"]  # CSV quotes spaces and line ends
    equal(got, expected)


def test_matched(capsysbinary: pytest.CaptureFixture[bytes], folder: Path, store: Store) -> None:
    options = ("--among", "row > 2", "--bins", 3)
    expected = matched(store, "is_word_start", on=["position"], among="row > 2", bins=3)
    for show, frame in (
        ("trajectories", expected.trajectories),
        ("difference", expected.difference),
        ("balance", expected.balance),
    ):
        asked = ("is_word_start", "--on", "position", *options, "--show", show)
        equal(printed(capsysbinary, "matched", folder, *asked), frame, check_dtype=False)
    two = ("--on", "position", "token_str")
    assert main(["matched", *map(str, (folder, "is_word_start", *two, *options))]) == 2


def test_an_option_with_several_values_has_two_forms(
    capsysbinary: pytest.CaptureFixture[bytes], folder: Path
) -> None:
    asked = ("matched", folder, "position > 3", "--show", "balance")
    one = printed(capsysbinary, *asked, "--on", "doc", "is_word_start", "--bins", 3)
    two = printed(capsysbinary, *asked, "--on", "doc", "--bins", 3, "--on", "is_word_start")
    assert one["covariate"].tolist() == ["doc", "is_word_start"]
    equal(one, two)


def test_positions(capsysbinary: pytest.CaptureFixture[bytes], folder: Path, store: Store) -> None:
    got = printed(capsysbinary, "positions", folder, "--where", "row > 5")
    equal(got, positions(store, where="row > 5").frame)
    equal(printed(capsysbinary, "position-slope", folder), position_slope(store).frame)
    got = printed(capsysbinary, "in-context-score", folder, "--late", 9, "--early", 3)
    equal(got, in_context_score(store, late=9, early=3).frame)
    assert main(["in-context-score", str(folder)]) == 2  # no position 500 there


def test_mechanism(capsysbinary: pytest.CaptureFixture[bytes], demo: Store) -> None:
    got = printed(
        capsysbinary, "mechanism", demo.path, "copyable", "--show", "curves", "--last", 900
    )
    found = mechanism(demo, "copyable", between=(None, 900))
    equal(got, found.curves, check_dtype=False)


def test_ngrams_save_their_losses(capsysbinary: pytest.CaptureFixture[bytes], own: Path) -> None:
    got = printed(capsysbinary, "ngrams", own, "is_word_start", "--save")
    store = Store(own)
    equal(got, ngrams(store, "is_word_start").frame)
    assert store.features.all()["name"].tolist() == ["bigram_loss", "unigram_loss"]
    assert main(["ngrams", str(own), "--save"]) == 2
    assert main(["ngrams", str(own), "--save", "--overwrite"]) == 0


def test_clusters(capsysbinary: pytest.CaptureFixture[bytes], store: Store, folder: Path) -> None:
    expected = clusters(store, where="row > 3", k=3, compared="level")
    options = ("-k", 3, "--compared", "level", "--where", "row > 3")
    for show, frame in (
        ("clusters", expected.frame),
        ("means", expected.means),
        ("features", expected.features),
        ("members", expected.members),
    ):
        got = printed(capsysbinary, "clusters", folder, *options, "--show", show)
        equal(got, frame.reset_index(drop=True), check_dtype=False)
    typical = printed(capsysbinary, "clusters", folder, *options, "--show", "typical")
    assert typical["row"].tolist() == expected.typical["row"].tolist()
    assert (typical["token"].fillna("") != "").any()
    assert main(["clusters", str(folder), "--clusters", "3", "--show", "stability"]) == 2


def test_rho(capsysbinary: pytest.CaptureFixture[bytes], folder: Path, store: Store) -> None:
    got = printed(capsysbinary, "rho", folder)
    equal(got, rho_1(store).frame, check_dtype=False, rtol=1e-5)


def test_saved_features_can_be_used_listed_and_deleted(
    capsysbinary: pytest.CaptureFixture[bytes], own: Path
) -> None:
    printed(capsysbinary, "clusters", own, "--clusters", 2, "--save", "mine")
    printed(capsysbinary, "rho", own, "--log", "--save", "rho", "--where", "is_word_start")
    listed = printed(capsysbinary, "features", own, "--save", "acquired", "acquisition(row)")
    assert listed["name"].tolist() == ["acquired", "mine", "rho"]
    store = Store(own)
    members = clusters(store, k=2).members
    assert len(store.members("mine = 2")) == (members["cluster"] == 2).sum()
    acquired = store.members("acquired <= 4")
    assert acquired.tolist() == store.members("acquisition(row) <= 4").tolist()
    tokens = rho_1(store, where="is_word_start", log=True).members
    falling = tokens.loc[tokens["category"] == "H->L", "row"].tolist()
    assert store.members("rho = 'H->L'").tolist() == falling
    assert main(["rho", str(own), "--save", "mine"]) == 2
    assert len(printed(capsysbinary, "features", own, "--delete", "mine")) == 2
    assert "mine" not in Store(own).sql("from tokens limit 1")


def test_an_invalid_expression_gets_a_sentence(store: Store) -> None:
    assert store.evaluate("position + 1").tolist() == (
        store.sql("select position + 1 as x from tokens order by row")["x"].tolist()
    )
    assert store.evaluate("position * 0.5").dtype == "float64"
    for wrong, says in (("position, 1", "more than one expression"), ("nothing", "no column")):
        with pytest.raises(GroupError, match=says):
            store.evaluate(wrong)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the tokens of the small store, without its last checkpoints."""
    return build_store(tmp_path_factory.mktemp("stores") / "other", steps=(0, 4, 16))


def test_a_comparison(capsysbinary: pytest.CaptureFixture[bytes], folder: Path, run: Path) -> None:
    got = printed(capsysbinary, "compare", folder, run, "--group", "is_word_start")
    expected = compare([folder, run], group="is_word_start")
    equal(got[list(expected.runs)], expected.runs)
    both = expected.runs[["at"]].merge(expected.spread, on="at")
    for column in ("mean_loss", "standard_deviation", "lowest", "highest"):
        assert got[f"runs_{column}"].tolist() == pytest.approx(both[column].tolist())
    result: dict[str, Any] = {}
    exec(expected.script(), result)
    equal(result["result"].frame, expected.frame)


def test_runs_that_cannot_be_compared(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    unlike = build_store(tmp_path / "unlike", seed=1)
    assert main(["compare", str(folder), str(unlike)]) == 2
    assert "hold different tokens" in capsys.readouterr().err
