"""Measures of predictions equal plain SQL over the Parquet, also if few checkpoints have them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from queries import QueryError, Store, explain
from queries.__main__ import main
from queries.engine.measures import MEASURES, MeasureName
from queries.engine.sums import GroupSums
from queries.stats.bands import mean_band
from store import schema
from store.layout import Layout
from tests.queries.support.stores import STEPS, build_store

SOME = STEPS[2:6]
"""The checkpoints with predictions."""
PREDICTED: tuple[MeasureName, ...] = ("rank", "entropy", "accuracy")
VALUE = {"rank": "rank", "entropy": "entropy", "accuracy": "(rank = 0)::integer"}
CLAUSES = ("position > 5", "is_word_start", "true", "token_str = ' the'")


def add_predictions(root: Path, step: int, vocabulary: int = 12) -> None:
    """Write one file of random predictions."""
    layout, rng = Layout(root), np.random.default_rng(step)
    tokens, losses = pq.read_table(layout.tokens), pq.read_table(layout.loss_file(step))
    n, ids = tokens.num_rows, tokens["token_id"].to_numpy()
    rank = rng.integers(0, 4, n).astype(np.int32)
    top_id = np.where(rank == 0, ids, (ids + 1) % vocabulary).astype(np.int32)
    loss = losses["loss"].to_numpy()
    columns = [
        *(losses[c] for c in ("checkpoint", "doc", "position")),
        *(rank, rng.uniform(0, 2, n).astype(np.float32), top_id),
        [f"type {i}" for i in top_id],
        np.where(rank == 0, loss, loss / 2),
    ]
    layout.predictions.mkdir(exist_ok=True)
    table = pa.table(dict(zip(schema.PREDICTIONS.names, columns, strict=True)))
    pq.write_table(table.cast(schema.PREDICTIONS), layout.prediction_file(step))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = build_store(tmp_path_factory.mktemp("measures") / "s")
    for step in SOME:
        add_predictions(root, step)
    return root


@pytest.fixture(scope="module")
def predicted(folder: Path) -> Store:
    return Store(folder)


@pytest.fixture(scope="module")
def referee(folder: Path) -> duckdb.DuckDBPyConnection:
    """`long`: predictions joined with tokens and docs by (doc, position)."""
    connection = duckdb.connect()
    connection.execute(f"""
        create table long as
        select p.*, l.loss, t.* exclude (doc, "position"), d.source
        from '{folder}/predictions/*.parquet' as p
        join '{folder}/losses/*.parquet' as l using (checkpoint, doc, "position")
        join '{folder}/tokens.parquet' as t using (doc, "position")
        join '{folder}/docs.parquet' as d using (doc)""")
    return connection


@pytest.mark.parametrize("measure", PREDICTED)
@pytest.mark.parametrize("clause", CLAUSES)
def test_means_bands_and_counts_equal_plain_sql(
    predicted: Store, referee: duckdb.DuckDBPyConnection, measure: MeasureName, clause: str
) -> None:
    ours = predicted.trajectories({"g": clause}, measure=measure)
    theirs = referee.sql(f"""
        select checkpoint, avg({VALUE[measure]}) as mean, count(*) as n, count(distinct source) as d
        from long where {clause} group by all order by checkpoint""").df()
    assert ours["checkpoint"].tolist() == list(SOME) == predicted.steps_of(measure)
    np.testing.assert_allclose(ours[MEASURES[measure].mean], theirs["mean"], rtol=1e-6)
    assert (ours[["n_tokens", "n_docs"]].to_numpy() == theirs[["n", "d"]].to_numpy()).all()
    band = _band(referee, measure, clause)
    low, high = band.low, band.high
    if measure == "accuracy":
        low, high = low.clip(0, 1), high.clip(0, 1)
    np.testing.assert_allclose(ours["low"], low, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours["high"], high, rtol=1e-6, atol=1e-9)


def _band(referee: duckdb.DuckDBPyConnection, measure: str, clause: str) -> Any:
    sums = referee.sql(f"""
        pivot (select source, checkpoint, {VALUE[measure]} as v from long where {clause})
        on checkpoint using sum(v) group by source order by source""").df()
    counts = referee.sql(f"""
        select source, count(*) // {len(SOME)} as n from long where {clause}
        group by source order by source""").df()
    columns = [str(step) for step in SOME]
    return mean_band(GroupSums(counts["n"].to_numpy(), sums[columns].to_numpy(np.float64)))


@pytest.mark.parametrize("measure", PREDICTED)
def test_differences_changes_and_ratios_are_those_of_the_means(
    predicted: Store, measure: MeasureName
) -> None:
    first, second = "is_word_start", "not is_word_start"
    name = MEASURES[measure].mean
    means = predicted.trajectories({"a": first, "b": second}, measure=measure)
    a, b = (means.loc[means["token_group"] == g, name].to_numpy() for g in "ab")
    for found, expected in (
        (predicted.difference(first, second, measure=measure)["difference"], a - b),
        (predicted.ratio(first, second, measure=measure)["ratio"], a / b),
        (predicted.change(first, SOME[1], measure=measure)["change"], a - a[1]),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("measure", PREDICTED)
def test_a_zoom_and_the_leaderboard_measure_the_change(
    predicted: Store, referee: duckdb.DuckDBPyConnection, measure: MeasureName
) -> None:
    first, last = SOME[0], SOME[-1]
    found = predicted.zoom(first, last, "is_word_start", k=5, measure=measure)
    expected = referee.sql(f"""
        with v as (select "row", checkpoint, {VALUE[measure]} as v from long where is_word_start)
        select a."row", a.v as first, b.v as last
        from v as a join v as b using ("row")
        where a.checkpoint = {first} and b.checkpoint = {last} order by a."row" """).df()
    changes = found.changes
    assert changes["row"].tolist() == expected["row"].tolist()
    np.testing.assert_allclose(changes[f"first_{measure}"], expected["first"], rtol=1e-6)
    np.testing.assert_allclose(changes["change"], expected["last"] - expected["first"], rtol=1e-5)
    assert found.random["checkpoint"].unique().tolist() == list(SOME)
    assert measure in found.random
    rows = explain(predicted, (first, last), min_count=5, measure=measure).frame
    inside = rows[rows["clause"] == "is_word_start"]["mean_change"]
    np.testing.assert_allclose(inside, changes["change"].mean(), rtol=1e-5)


def test_predicted_gives_the_guesses_with_probabilities(
    predicted: Store, referee: duckdb.DuckDBPyConnection
) -> None:
    row = 17
    theirs = referee.sql(f"""
        select checkpoint, exp(-loss) as probability, rank, entropy, top_id, top_str,
            exp(-top_loss) as top_probability
        from long where "row" = {row} order by checkpoint""").df()
    ours = predicted.predicted(row)
    assert ours.columns.tolist() == theirs.columns.tolist()
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, rtol=1e-6)
    some = predicted.predicted(row, [SOME[1], STEPS[0]])
    assert some["checkpoint"].tolist() == [SOME[1]]
    assert predicted.predicted(row, [STEPS[0]]).empty
    with pytest.raises(QueryError, match="no token 999999"):
        predicted.predicted(999_999)


def test_sql_and_the_catalog_have_views_and_a_macro(predicted: Store, folder: Path) -> None:
    count = len(SOME) * predicted.manifest.n_tokens
    queries = {
        "select count(*) from predictions": count,
        'select count(*) from prediction_rows join tokens using ("row")': count,
        "select count(*) from predicted_trajectory('word_start')": len(SOME),
    }
    with duckdb.connect(str(Layout(folder).catalog), read_only=True) as catalog:
        for query, expected in queries.items():
            assert predicted.sql(query).iloc[0, 0] == expected
            assert catalog.sql(query).fetchall() == [(expected,)]
        columns = [name for name, *_ in catalog.sql("describe predictions").fetchall()]
        assert columns == schema.PREDICTIONS.names
        theirs = catalog.sql("from predicted_trajectory('word_start')").df()
    for measure in PREDICTED:
        name = MEASURES[measure].mean
        ours = predicted.trajectories({"g": "word_start"}, measure=measure)
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-6)


def _refused(ask: Callable[[], object], *words: str) -> None:
    with pytest.raises(QueryError) as error:
        ask()
    assert all(word in str(error.value) for word in words), error.value


def test_what_is_missing_is_said(predicted: Store, folder: Path, tmp_path: Path) -> None:
    without = Store(build_store(tmp_path / "without", sources=3, longest=15))
    how = "ingest run … --predictions"
    _refused(lambda: without.trajectories({"g": "true"}, measure="rank"), "no predictions", how)
    _refused(lambda: without.sql("select * from predictions"), "no predictions", how)
    _refused(lambda: without.predicted(0), "no predictions", how)
    assert without.measures == ["loss"]
    assert predicted.measures == list(MEASURES)
    nearest = f"nearest with predictions are {SOME[0]} and {SOME[1]}"
    _refused(lambda: predicted.zoom(STEPS[0], SOME[0], measure="rank"), f"{STEPS[0]} has", nearest)
    _refused(lambda: predicted.change("true", STEPS[0], measure="rank"), nearest)
    odds: Any = "odds"
    _refused(lambda: predicted.trajectories({"g": "true"}, measure=odds), "expected one of loss")
    spark = Store(folder, engine="spark")
    _refused(lambda: spark.trajectories({"g": "true"}, measure="rank"), "spark")


def test_the_index_of_a_measure_is_rebuilt_when_its_files_change(tmp_path: Path) -> None:
    root = build_store(tmp_path / "s", sources=3, longest=15)
    add_predictions(root, 400)
    before = Store(root).trajectories({"g": "true"}, measure="rank")
    assert len(before) == 1
    names = {p.name for p in Layout(root).index.glob("rank-*.f32")}
    assert len(names) == 1
    add_predictions(root, 1000)
    table = pq.read_table(Layout(root).prediction_file(400))
    ranks = pa.array([9] * table.num_rows, pa.int32())
    pq.write_table(table.set_column(3, "rank", ranks), Layout(root).prediction_file(400))
    after = Store(root).trajectories({"g": "true"}, measure="rank")
    assert after["checkpoint"].tolist() == [400, 1000]
    assert after["mean_rank"][0] == 9
    assert not names & {p.name for p in Layout(root).index.glob("rank-*.f32")}
    shutil.rmtree(Layout(root).predictions)
    assert Store(root).measures == ["loss"]


COMMANDS = {
    "trajectories": (["word_start"], "mean_entropy"),
    "difference": (["word_start", "word_continuation"], "difference"),
    "zoom": ([str(SOME[0]), str(SOME[1])], "first_entropy"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_has_the_option(
    folder: Path, capsysbinary: pytest.CaptureFixture[bytes], command: str
) -> None:
    given, column = COMMANDS[command]
    arguments = [command, str(folder), *given, "--measure", "entropy"]
    assert main(arguments) == 0
    assert column in capsysbinary.readouterr().out.decode().splitlines()[0].split(",")
    assert main([*arguments, "--format", "svg"]) == 0
    assert "nats" in capsysbinary.readouterr().out.decode()
