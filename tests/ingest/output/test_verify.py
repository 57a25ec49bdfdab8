"""Every kind of damage to a store is found and named; a whole store has none."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ingest.__main__ import main
from ingest.errors import IngestError
from ingest.verify import verify
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import Ingest
from tests.ingest.support.processes import ROOT
from tests.models import save_run

LOSS_FILE = "losses/checkpoint-000000010.parquet"
NO_LOSS = "has losses that are missing, infinite or negative"
FILES = ["tokens.parquet", "docs.parquet", "checkpoints.parquet", LOSS_FILE]


@pytest.fixture
def store(whole_store: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole_store, tmp_path / "store")


def rewrite(path: Path, how: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(how(pq.read_table(path)), path)


def put(path: Path, column: str, row: int, value: object) -> None:
    """Write the file again with one value changed."""

    def changed(table: pa.Table) -> pa.Table:
        at, field = table.schema.get_field_index(column), table.schema.field(column)
        values = table[column].to_pylist()
        values[row] = value
        return table.set_column(at, field, pa.array(values, field.type))

    rewrite(path, changed)


def test_a_whole_store_has_no_problem_and_is_only_read(store: Path) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in store.rglob("*")}
    assert verify(store) == []
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in store.rglob("*")} == before


@pytest.mark.parametrize("name", FILES)
def test_a_deleted_file_is_found(store: Path, name: str) -> None:
    (store / name).unlink()
    (problem,) = verify(store)
    assert ("checkpoint 10 is in" if name == LOSS_FILE else name) in problem


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("left", [0, 100, -1])
def test_a_truncated_file_is_found(store: Path, name: str, left: int) -> None:
    (store / name).write_bytes((store / name).read_bytes()[:left])
    (problem,) = verify(store)
    assert f"{Path(name).name} cannot be read" in problem
    assert problem.endswith("delete it and run ingest again, which recreates it")


def test_a_flipped_byte_among_the_losses_is_found(store: Path) -> None:
    """In a large store it moves the mean by too little to see: the pages have checksums."""
    path = store / LOSS_FILE
    content = path.read_bytes()
    losses = pq.ParquetFile(path).metadata.row_group(0).column(6)
    end = losses.data_page_offset + losses.total_compressed_size
    for at in range(end - 600, end, 20):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert "checkpoint-000000010.parquet cannot be read" in verify(store)[0], at


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("loss", 1.0, "does not have the count and mean in checkpoints.parquet"),
        ("loss", float("nan"), NO_LOSS),
        ("loss", None, NO_LOSS),
        ("loss", float("inf"), NO_LOSS),
        ("loss", -0.5, NO_LOSS),
        ("token_id", 7, "does not have the rows of tokens.parquet"),
        ("token_str", "?", "does not have the rows of tokens.parquet"),
        ("is_word_start", None, "does not have the rows of tokens.parquet"),
        ("checkpoint", 11, "holds another checkpoint than its name says"),
    ],
)
def test_an_altered_row_of_losses_is_found(
    store: Path, column: str, value: float | int | str | None, sentence: str
) -> None:
    put(store / LOSS_FILE, column, 20, value)
    assert verify(store) == [f"checkpoint-000000010.parquet: {sentence}"]


def test_a_loss_altered_by_a_millionth_is_found(store: Path) -> None:
    loss = pq.read_table(store / LOSS_FILE)["loss"][20].as_py()
    put(store / LOSS_FILE, "loss", 20, loss + 1e-6 * loss)
    (problem,) = verify(store)
    assert "count and mean" in problem


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("token_id", 7, "tokens.parquet does not have the fingerprint"),
        ("position", 7, "tokens.parquet does not have the fingerprint"),
        ("doc", -1, "tokens.parquet does not have the fingerprint"),
        ("row", 7, "row does not count 0, 1, 2"),
        ("token_str", "?", "does not have the rows of tokens.parquet"),
    ],
)
def test_an_altered_token_is_found(
    store: Path, column: str, value: int | str, sentence: str
) -> None:
    put(store / "tokens.parquet", column, 20, value)
    assert sentence in "\n".join(verify(store))


def test_other_rows_are_found(store: Path) -> None:
    path = store / LOSS_FILE
    whole = pq.read_table(path)
    for table in (whole.slice(1), whole.take([1, 0, *range(2, len(whole))])):
        pq.write_table(table, path)
        assert any("rows of tokens.parquet" in p for p in verify(store))
    pq.write_table(whole, path)
    put(store / "docs.parquet", "n_tokens", 0, 1)
    assert "docs.parquet: n_tokens is not the number" in verify(store)[0]
    rewrite(store / "docs.parquet", lambda t: t.slice(1))
    assert "manifest.json has other numbers" in verify(store)[0]


@pytest.mark.parametrize("name", FILES)
def test_other_columns_and_types_are_found(store: Path, name: str) -> None:
    path = store / name
    whole = pq.read_table(path)
    first = whole.schema.field(0)
    changed = [
        whole.drop([first.name]),
        whole.select(whole.schema.names[::-1]),
        whole.set_column(0, first.name, whole.column(0).cast(pa.float64())),
    ]
    if name == LOSS_FILE:
        changed.append(whole.append_column("extra", whole.column(0)))
    for table in changed:
        pq.write_table(table, path)
        (problem,) = verify(store)
        assert f"{path.name}" in problem
        assert "has other columns than expected" in problem


def test_more_metadata_of_docs_is_no_fault(store: Path) -> None:
    rewrite(store / "docs.parquet", lambda t: t.append_column("mine", t["part"]))
    assert verify(store) == []


def test_files_that_do_not_belong_are_found(store: Path) -> None:
    losses = store / "losses"
    (losses / ".checkpoint-000000020.parquet.99.tmp").touch()
    (store / ".manifest.json.99.tmp").touch()
    shutil.copy(store / LOSS_FILE, losses / "checkpoint-000000010 (copy).parquet")
    shutil.copy(store / LOSS_FILE, Layout(store).loss_file(20))
    assert verify(store) == [
        ".manifest.json.99.tmp was left behind by a killed ingest: run it again",
        ".checkpoint-000000020.parquet.99.tmp was left behind by a killed ingest: run it again",
        "losses/checkpoint-000000010 (copy).parquet is not a loss file of this store: "
        "move it elsewhere",
        "checkpoint 20 has a loss file but no row in checkpoints.parquet",
        "checkpoint-000000020.parquet: holds another checkpoint than its name says",
    ]


def test_a_folder_without_a_manifest_is_no_store(store: Path) -> None:
    (store / "manifest.json").unlink()
    with pytest.raises(IngestError, match=r"has no manifest\.json"):
        verify(store)


def test_the_command_names_each_problem_and_ends_with_status_1(store: Path, ingest: Ingest) -> None:
    assert ingest("verify", store).status == 0
    (store / LOSS_FILE).unlink()
    ended = ingest("verify", store)
    assert ended.status == 1
    assert ended.error.startswith("problem: checkpoint 10 is in checkpoints.parquet but has no")


def test_neither_verify_nor_compare_loads_torch() -> None:
    code = "import sys, ingest.verify; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def other_store(run: Path, text: Path, folder: Path, *more: str) -> Path:
    assert main(["run", str(run), "--text", str(text), "--store", str(folder), *more]) == 0
    return folder


def test_a_missing_checkpoint_of_the_plan_is_found(store: Path) -> None:
    """No loss file and no row: only the plan knows of it."""
    (store / LOSS_FILE).unlink()
    rewrite(store / "checkpoints.parquet", lambda t: t.filter(pc.field("checkpoint") != 10))
    assert verify(store) == ["checkpoint 10 was planned but is not scored: run ingest again"]


def test_the_plan_is_recorded_before_the_first_checkpoint_and_grows(
    ingest: Ingest, run_folder: Path, text: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    for folder in run.iterdir():
        (folder / "model.safetensors").write_bytes(b"damaged")
    arguments = ("run", run, "--text", text, "--store", tmp_path / "s")
    assert ingest(*arguments, "--steps", "0:10").status == 1
    assert read_manifest(tmp_path / "s" / "manifest.json").planned == [0, 10]
    assert ingest(*arguments, "--steps", "10:400").status == 1
    assert read_manifest(tmp_path / "s" / "manifest.json").planned == [0, 10, 400]


@pytest.mark.parametrize("damage", ["other checkpoint", "other model", "same mean", "renamed"])
def test_a_loss_file_that_is_not_its_own_is_found(
    store: Path, bpe: Any, text: Path, tmp_path: Path, damage: str
) -> None:
    path = store / LOSS_FILE
    if damage == "other checkpoint":
        shutil.copyfile(store / "losses/checkpoint-000000400.parquet", path)
    elif damage == "other model":
        other = save_run(tmp_path / "other", bpe, [10], "neox")
        foreign = other_store(other, text, tmp_path / "foreign")
        shutil.copyfile(foreign / LOSS_FILE, path)
    elif damage == "same mean":
        losses = pq.read_table(path)["loss"].to_pylist()
        rewrite(path, lambda t: t.set_column(6, t.schema.field(6), pa.array(losses[::-1], "f4")))
    else:
        path.rename(path.with_name("checkpoint-000000011.parquet"))
    problems = verify(store)
    assert problems and all("checkpoint" in problem for problem in problems)


def test_a_tokens_table_of_another_text_is_found(
    store: Path, run_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.txt").write_text("The President met the Congress again and again.")
    other = other_store(run_folder, tmp_path / "t.txt", tmp_path / "other")
    shutil.copyfile(other / "tokens.parquet", store / "tokens.parquet")
    assert any("fingerprint" in problem for problem in verify(store))
    shutil.copyfile(other / "manifest.json", store / "manifest.json")
    problems = verify(store)
    assert any("docs.parquet" in p or "numbers of docs" in p for p in problems)
    assert sum("does not have the rows of tokens.parquet" in p for p in problems) == 3
