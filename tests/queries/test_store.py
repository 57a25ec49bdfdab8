"""Opening a store, and what it answers; sentences for stores that cannot be used."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from queries import GroupError, QueryError, Store, StoreError
from store.layout import Layout
from tests.queries.support.stores import STEPS, PlainSql, add_checkpoint, build_store, random_losses


def without(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).unlink()


def holding(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(content)


def saying(**values: object) -> Callable[[Path], object]:
    """The manifest with other values; None omits one."""

    def change(root: Path) -> None:
        path = Layout(root).manifest
        facts = json.loads(path.read_text()) | values
        path.write_text(json.dumps({k: v for k, v in facts.items() if v is not None}))

    return change


def with_other_columns(name: str) -> Callable[[Path], object]:
    return lambda root: pq.write_table(pa.table({"doc": [0]}), root / name)


def without_losses(root: Path) -> None:
    for path in Layout(root).losses.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("manifest.json"), r"own has no manifest.json: a store is a folder made by"),
        (holding("manifest.json", b"{"), "manifest.json cannot be read as JSON .*score again"),
        (holding("manifest.json", b"[]"), "holds no JSON object: it is not a store's manifest"),
        (holding("manifest.json", b"\xff"), "manifest.json cannot be read as JSON .*score again"),
        (saying(format_version=None), "has no format_version: it is not a store's manifest"),
        (saying(format_version=99), "own is a store of format 99.* up to 1: update Token Trails"),
        (saying(n_tokens=None), "is incomplete .*n_tokens.*: score the text again"),
        (without_losses, "own has no scored checkpoint yet: run `python -m ingest run`"),
        (without("tokens.parquet"), "No files found .*tokens.parquet.*`python -m ingest verify"),
        (without("docs.parquet"), "No files found .*docs.parquet.*`python -m ingest verify"),
        (without("checkpoints.parquet"), "No files found .*checkpoints.parquet.* verify"),
        (holding("tokens.parquet", b""), "tokens.parquet' too small to be a Parquet.* says more"),
        (holding("docs.parquet", b"x" * 99), "No magic bytes .*docs.parquet'; .* says more"),
        (with_other_columns("tokens.parquet"), 'column "row" not found .*verify .*own` says more'),
        (with_other_columns("docs.parquet"), 'column "n_tokens" .*not found.* says more'),
    ],
)
def test_an_unusable_store_gets_a_sentence(
    own: Path, change: Callable[..., Any], sentence: str
) -> None:
    change(own)
    with pytest.raises(StoreError, match=f"(?i){sentence}") as refused:
        Store(own)
    assert len(str(refused.value).splitlines()) == 1
    assert "LINE" not in str(refused.value)


def test_a_missing_folder_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="gone does not exist: a store is a folder made by"):
        Store(tmp_path / "gone")


def test_a_damaged_loss_file_affects_only_queries_that_use_it(own: Path) -> None:
    Layout(own).loss_file(400).write_bytes(b"PAR1")
    store = Store(own)
    assert len(store.members("true")) == store.manifest.n_tokens
    with pytest.raises(StoreError, match=r"checkpoint-000000400.parquet cannot be read .*delete"):
        store.trajectories({"all": "true"})
    with pytest.raises(QueryError, match=r"checkpoint-000000400\.parquet"):
        store.sql("select avg(loss) from losses")


def test_a_checkpoint_scored_meanwhile_is_seen_after_reopening(own: Path) -> None:
    store = Store(own)
    before = store.trajectories({"all": "true"})
    assert store.files.state() == "same"
    losses = random_losses(own, seed=7)
    add_checkpoint(own, 2000, losses)
    assert store.files.state() == "new checkpoints"
    assert store.steps == list(STEPS)
    assert store.sql("select max(checkpoint) from losses").iloc[0, 0] == 1000
    pd.testing.assert_frame_equal(store.trajectories({"all": "true"}), before)
    again = Store(own)
    assert again.files.state() == "same" and again.steps == [*STEPS, 2000]
    after = again.trajectories({"all": "true"})
    pd.testing.assert_frame_equal(after[:-1], before)
    assert after["mean_loss"].iloc[-1] == pytest.approx(losses.mean(), abs=1e-6)


def test_a_grown_store_answers_as_one_that_was_opened_again(own: Path) -> None:
    asked = {"word starts": "word_start", "late": "loss_at(row, 1000) < 2"}
    query = (
        "select checkpoint, count(*) as n, avg(loss) as loss from losses group by all order by 1"
    )
    store = Store(own)
    before = store.trajectories(asked)
    store.sql("select * from word_start")  # a view of a group
    for step in (2000, 700):  # at the end, and in between
        add_checkpoint(own, step, random_losses(own, seed=step))
        grown = store.grown()
        again = Store(own)
        assert grown.steps == again.steps and grown.files.state() == "same"
        pd.testing.assert_frame_equal(grown.trajectories(asked), again.trajectories(asked))
        pd.testing.assert_frame_equal(grown.sql(query), again.sql(query))
        pd.testing.assert_frame_equal(grown.checkpoints, again.checkpoints)
        late = f"select count(loss_at(row, {step})) from word_start"
        assert grown.sql(late).equals(again.sql(late))
    pd.testing.assert_frame_equal(store.trajectories(asked), before)

    grown.groups.save("mine", "position < 5")
    grown.features.save("half", [row % 2 for row in range(grown.manifest.n_tokens)])
    again = Store(own)
    for group in ("mine", "half = 1"):
        pd.testing.assert_frame_equal(
            grown.trajectories({"g": group}), again.trajectories({"g": group})
        )
    Layout(own).loss_file(0).unlink()
    with pytest.raises(StoreError, match="has other files than before: open the store again"):
        grown.grown()


def test_new_losses_wait_until_they_are_listed(own: Path) -> None:
    store = Store(own)
    path = add_checkpoint(own, 2000, random_losses(own, seed=7))
    now = time.time()
    for listed, written, state in (
        (now - 5, now - 1, "same"),
        (now - 500, now - 400, "new checkpoints"),  # their writer was killed
        (now, now - 1, "new checkpoints"),
    ):
        os.utime(Layout(own).checkpoints, (listed, listed))
        os.utime(path, (written, written))
        assert store.files.state() == state


def test_a_temporary_file_is_not_a_checkpoint(own: Path) -> None:
    layout = Layout(own)
    (layout.losses / ".checkpoint-000002000.parquet.77.tmp").write_bytes(b"PAR1")
    (layout.losses / "notes.parquet").write_bytes(b"")
    store = Store(own)
    assert store.steps == list(STEPS) and store.files.state() == "same"
    assert store.sql("select count(*) from losses").iloc[0, 0] == 8 * store.manifest.n_tokens


def test_failed_checkpoints_are_listed_but_have_no_losses(own: Path) -> None:
    layout = Layout(own)
    listed = pq.read_table(layout.checkpoints)
    failed = {"checkpoint": 3000, "step": 3000, "error": "weights are missing"}
    failed_row = pa.Table.from_pylist([failed], listed.schema)
    pq.write_table(pa.concat_tables([failed_row, listed]), layout.checkpoints)
    store = Store(own)
    assert store.steps == list(STEPS)
    assert store.checkpoints["checkpoint"].tolist() == [*STEPS, 3000]
    assert store.checkpoints["error"].dropna().tolist() == ["weights are missing"]


def test_a_group_of_the_store_takes_precedence_over_a_shared_one(own: Path) -> None:
    store = Store(own)
    shared = store.named_groups
    assert len(store.members("word_start")) == len(store.members("is_word_start"))
    (own / "groups").mkdir()
    (own / "groups" / "word_start.sql").write_text("-- First\n-- Rows below 3.\nrow < 3\n")
    (own / "groups" / "mine.sql").write_text("row = 1")
    ours = store.named_groups
    assert set(ours) - set(shared) == {"mine"}
    assert (ours["word_start"].title, ours["word_start"].description) == ("First", "Rows below 3.")
    assert store.members("word_start").tolist() == [0, 1, 2]
    assert store.members(" mine\n").tolist() == [1]
    assert store.groups.clause("mine or false") == "mine or false"  # names only stand alone


def test_trajectories_keep_the_order_of_groups_and_the_columns(store: Store) -> None:
    groups = {"z": "position = 2", "a": "true", "word start": "word_start", "again": "position = 2"}
    found = store.trajectories(groups)
    assert found.columns.tolist() == [
        "checkpoint",
        "token_group",
        "mean_loss",
        "low",
        "high",
        "n_tokens",
        "n_docs",
        "n_docs_effective",
        "verdict",
    ]
    assert found["token_group"].drop_duplicates().tolist() == list(groups)
    for name, clause in groups.items():
        mine = found[found["token_group"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, store.trajectories({name: clause}))
        assert mine["checkpoint"].tolist() == store.steps
    bands = found[["low", "mean_loss", "high"]].to_numpy(float)
    assert (np.diff(bands, axis=1) > 0).all()


def test_one_invalid_group_of_several_is_named(store: Store) -> None:
    with pytest.raises(GroupError, match="positon"):
        store.trajectories({"good": "true", "bad": "positon = 1"})
    with pytest.raises(GroupError, match="no group was given"):
        store.trajectories({})


def test_a_group_of_one_token_is_its_trajectory_without_a_band(
    store: Store, plain: PlainSql
) -> None:
    found = store.trajectories({"one": "row = 7"})
    losses = plain.members("row = 7").sort_values("checkpoint")["loss"]
    np.testing.assert_array_equal(found["mean_loss"], losses.astype(float))
    assert found[["low", "high"]].isna().all(axis=None)
    assert (found[["n_tokens", "n_docs"]] == 1).all(axis=None)


def test_a_store_of_one_source_has_no_bands(tmp_path: Path) -> None:
    alone = Store(build_store(tmp_path / "alone", sources=1))
    for answer in (
        alone.trajectories({"all": "true"}),
        alone.difference("is_word_start", "not is_word_start"),
    ):
        assert answer[["low", "high"]].isna().all(axis=None)
        assert answer.drop(columns=["low", "high"]).notna().all(axis=None)
        assert answer["verdict"].str.startswith("cannot tell: 1.0 effective source").all()


def test_a_difference_is_first_minus_second(store: Store) -> None:
    first, second = "is_word_start", "not is_word_start"
    found, turned = store.difference(first, second), store.difference(second, first)
    columns = ["checkpoint", "difference", "low", "high", "n_docs_effective", "verdict"]
    assert found.columns.tolist() == columns
    means = [store.trajectories({"g": clause})["mean_loss"] for clause in (first, second)]
    np.testing.assert_allclose(found["difference"], means[0] - means[1], atol=1e-12)
    np.testing.assert_allclose(turned["difference"], -found["difference"], atol=1e-12)
    np.testing.assert_allclose(turned[["high", "low"]], -found[["low", "high"]], atol=1e-12)


def test_a_constant_offset_between_paired_groups_is_known_exactly(tmp_path: Path) -> None:
    """Each token's loss is its source's level, plus 1 nat at word starts: nothing else varies."""
    own = build_store(tmp_path / "own", sources=9)
    layout = Layout(own)
    tokens, docs = pq.read_table(layout.tokens).to_pandas(), pq.read_table(layout.docs).to_pandas()
    both = (
        tokens.groupby(["doc", "is_word_start"]).head(1).groupby("doc").filter(lambda f: len(f) > 1)
    )
    level = docs["source"].str[-1].astype(float).to_numpy()[tokens["doc"]]
    add_checkpoint(own, 5000, level + tokens["is_word_start"])
    chosen = f"row in ({', '.join(both['row'].astype(str))})"
    last = Store(own).difference(f"{chosen} and is_word_start", f"{chosen} and not is_word_start")
    found = last[["checkpoint", "difference", "low", "high"]].iloc[-1]
    np.testing.assert_allclose(found.to_numpy(float), [5000, 1, 1, 1], atol=1e-6)


def test_context_is_the_text_around_a_token(store: Store, plain: PlainSql) -> None:
    facts = plain.connection.sql("select row, char_start, char_end, text from long")
    texts = {row: (text[:a], text[a:b], text[b:]) for row, a, b, text in facts.fetchall()}
    found = store.context(np.array([9, 2, 9, 10**6]), before=4, after=3)
    assert found.columns.tolist() == [
        "row",
        "doc",
        "position",
        "token_str",
        "source",
        "before",
        "token",
        "after",
    ]
    assert found["row"].tolist() == [2, 9, 9]
    for _, line in found.iterrows():
        before, token, after = texts[line["row"]]
        assert (line["before"], line["after"]) == (before[-4:], after[:3])
        assert line["token"] == token == line["token_str"]
    assert store.context([]).empty


def test_replaced_and_missing_files_are_reported(own: Path) -> None:
    store = Store(own)
    add_checkpoint(own, STEPS[-1], random_losses(own, 9))
    assert store.files.state() == "replaced"
    again = Store(own)
    assert again.files.state() == "same" and again.files.stamp != store.files.stamp
    Layout(own).tokens.unlink()
    assert again.files.state() == "replaced"


def test_damaged_probes_affect_only_queries_that_use_them(own: Path) -> None:
    Layout(own).probes.write_bytes(b"no Parquet")
    store = Store(own)
    assert len(store.trajectories({"all": "true"})) == len(STEPS)
    with pytest.raises(QueryError, match=r"probes.parquet cannot be read: delete it"):
        _ = store.probes
