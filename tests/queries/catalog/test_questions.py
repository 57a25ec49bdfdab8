"""Each file of queries/questions answers on the demo; numbers are checked in pandas and numpy.

`tests/queries/engine/test_metadata_names.py` runs them on other stores.
"""

import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from queries import Store
from queries.stats.changes import largest_rise
from store.layout import Layout
from tests.queries.conftest import DEMO
from tests.queries.support.catalogs import ask, ask_command_line, needs_command_line

FOLDER = Path(__file__).parents[3] / "queries" / "questions"
Answer = Callable[[str], pd.DataFrame]
QUESTIONS = sorted(path.stem for path in FOLDER.glob("*.sql"))


def text(question: str) -> str:
    return (FOLDER / f"{question}.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def answer(demo: Store) -> Answer:
    demo.make_catalog()
    return lambda question: ask(Layout(DEMO).catalog, text(question))


@pytest.fixture(scope="module")
def long(demo: Store) -> pd.DataFrame:
    """row, checkpoint, loss and the token's features, read by pandas alone."""
    tokens = pd.read_parquet(DEMO / "tokens.parquet").merge(
        pd.read_parquet(DEMO / "docs.parquet")[["doc", "source"]], on="doc"
    )
    tokens = tokens.sort_values("row", ignore_index=True)
    files = sorted((DEMO / "losses").glob("*.parquet"))
    losses = [pd.read_parquet(path, columns=["checkpoint", "loss"]) for path in files]
    return pd.concat([part.astype({"loss": float}).join(tokens) for part in losses])


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_file_states_its_question_and_grain_and_is_one_select(question: str) -> None:
    first, second, *_ = text(question).splitlines()
    assert re.fullmatch(r"-- .*\?( Replace the list with your own\.)?", first)
    assert second.startswith("-- grain: one row per ")
    (statement,) = duckdb.extract_statements(text(question))
    assert statement.type == duckdb.StatementType.SELECT


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_store_and_its_catalog_give_the_same_answer(
    answer: Answer, demo: Store, question: str
) -> None:
    found = answer(question)
    assert len(found) and not found.isna().all().any()
    pd.testing.assert_frame_equal(demo.sql(text(question)), found, check_dtype=False)


@needs_command_line
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_command_line_gives_the_same_answer(
    answer: Answer, question: str, tmp_path: Path
) -> None:
    theirs = ask_command_line(Layout(DEMO).catalog, text(question), tmp_path)
    ours = answer(question)
    numbers = ours.select_dtypes("number").columns
    assert list(theirs) == list(ours) and len(numbers)
    np.testing.assert_allclose(theirs[numbers], ours[numbers], rtol=1e-6)


def test_in_context_score(answer: Answer, long: pd.DataFrame) -> None:
    means = long.groupby(["position", "checkpoint"])["loss"].mean()
    found = answer("in_context_score").set_index("checkpoint")["in_context_score"]
    np.testing.assert_allclose(found, means[500] - means[50], atol=1e-9)


def test_copying_and_word_starts(answer: Answer, long: pd.DataFrame) -> None:
    means = long.groupby([long["trigram_seen_before"] > 0, "checkpoint"])["loss"].mean()
    found = answer("copying")
    np.testing.assert_allclose(found["difference"], means[True] - means[False], atol=1e-9)
    np.testing.assert_allclose(found["step"][1:], np.diff(means[True] - means[False]), atol=1e-9)
    means = long.groupby(["is_word_start", "checkpoint"])["loss"].mean()
    found = answer("word_starts_and_continuations")
    np.testing.assert_allclose(found["word_starts"], means[True], atol=1e-9)
    np.testing.assert_allclose(found["word_continuations"], means[False], atol=1e-9)
    np.testing.assert_allclose(found["difference"], means[False] - means[True], atol=1e-9)


def region_is_right(found: pd.DataFrame, wide: pd.DataFrame, first: int, last: int) -> pd.Series:
    """Changes of all rows between two steps; checks the rows that were found."""
    changes = wide[last] - wide[first]
    np.testing.assert_allclose(found["change"], changes[found["row"]], atol=1e-6)
    assert len(found) == found["row"].nunique() == 50
    return changes


@pytest.fixture(scope="module")
def wide(long: pd.DataFrame) -> pd.DataFrame:
    """Losses: row x checkpoint."""
    return long.pivot(index="row", columns="checkpoint", values="loss")


def test_steepest_region(answer: Answer, wide: pd.DataFrame) -> None:
    fall = wide.mean().diff()
    last = fall.idxmin()
    first = wide.columns[list(wide.columns).index(last) - 1]
    found = answer("steepest_region")
    assert set(zip(found["first_step"], found["last_step"], strict=True)) == {(first, last)}
    changes = region_is_right(found, wide, first, last)
    assert found["change"].abs().min() >= changes.drop(found["row"]).abs().max() - 1e-6


def test_largest_rise(answer: Answer, wide: pd.DataFrame) -> None:
    first, last = largest_rise(list(wide.columns), wide.mean().to_numpy())
    found = answer("largest_rise")
    assert set(zip(found["best_step"], found["peak_step"], strict=True)) == {(first, last)}
    changes = region_is_right(found, wide, first, last)
    assert found["change"].min() >= changes.drop(found["row"]).max() - 1e-6


def test_forgetting(answer: Answer, long: pd.DataFrame, wide: pd.DataFrame) -> None:
    means = long.groupby(["token_id", "checkpoint"])["loss"].agg(["mean", "size"]).unstack()
    means = means[means["size"].iloc[:, 0] >= 20]["mean"]
    forgetting = (means.iloc[:, -1] - means.min(axis=1)).sort_values(ascending=False)
    found = answer("forgetting_by_token_type").set_index("token_id")
    assert found.index.tolist() == forgetting.index[:50].tolist()
    np.testing.assert_allclose(found["forgetting"], forgetting[:50], atol=1e-9)
    assert (found["best_step"] == means.idxmin(axis=1)[found.index]).all()

    forgetting = (wide.iloc[:, -1] - wide.min(axis=1)).sort_values(ascending=False)
    found = answer("furthest_from_their_best").set_index("row")
    np.testing.assert_allclose(found["forgetting"], forgetting[:50], atol=1e-5)
    np.testing.assert_allclose(found["forgetting"], forgetting[found.index], atol=1e-5)


def test_loss_at_the_end_by_position_and_by_earlier_occurrences(
    answer: Answer, long: pd.DataFrame
) -> None:
    last = long[long["checkpoint"] == long["checkpoint"].max()]
    by_position = last.groupby(last["position"] // 32 * 32)["loss"]
    found = answer("loss_by_position").set_index("first_position")
    np.testing.assert_allclose(found["mean_loss"], by_position.mean(), atol=1e-9)
    np.testing.assert_allclose(found["median_loss"], by_position.median(), atol=1e-6)
    seen = last["seen_before"].clip(upper=8)
    found = answer("seen_before").set_index("earlier_occurrences")
    np.testing.assert_allclose(found["mean_loss"], last.groupby(seen)["loss"].mean(), atol=1e-9)
    starts = last[last["is_word_start"]].groupby(seen)["loss"].mean()
    np.testing.assert_allclose(found["mean_loss_of_word_starts"], starts, atol=1e-9)


def test_acquisition_by_frequency(answer: Answer, long: pd.DataFrame) -> None:
    means = long.groupby(["token_id", "checkpoint"])["loss"].mean().unstack()
    half_way = (means.iloc[:, 0] + means.min(axis=1)) / 2
    acquisition = means.le(half_way, axis=0).idxmax(axis=1)  # the first step that is so
    count = long.groupby("token_id")["row"].nunique()
    band = 10 ** (count.astype(str).str.len() - 1)
    quartiles = acquisition.groupby(band).quantile([0.25, 0.5, 0.75]).unstack()
    found = answer("acquisition_by_frequency").set_index("at_least").sort_index()
    assert found.index.tolist() == quartiles.index.tolist()
    columns = ["lower_quartile", "median_acquisition", "upper_quartile"]
    np.testing.assert_allclose(found[columns], quartiles)
    assert (found["n_types"] == acquisition.groupby(band).size()).all()


def test_hardest_docs(answer: Answer, long: pd.DataFrame) -> None:
    means = long.groupby(["source", "checkpoint"])["loss"].mean().unstack()
    found = answer("hardest_docs").set_index("source")
    assert found["last_loss"].is_monotonic_decreasing and len(found) == len(means)
    columns = {
        "first_loss": means.iloc[:, 0],
        "last_loss": means.iloc[:, -1],
        "lowest_loss": means.min(axis=1),
    }
    for name, expected in columns.items():
        np.testing.assert_allclose(found[name], expected[found.index], atol=1e-9)


def test_word_list(answer: Answer, long: pd.DataFrame) -> None:
    words = long["word"].str.lower()
    found = answer("word_list").set_index(["word", "checkpoint"])
    means = long.groupby([words, "checkpoint"])["loss"].agg(["mean", "size"]).loc[found.index]
    np.testing.assert_allclose(found["mean_loss"], means["mean"], atol=1e-9)
    assert (found["n_tokens"] == means["size"]).all()
    assert found.index.get_level_values("word").nunique() == 8
