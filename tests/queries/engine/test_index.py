"""The index equals the loss files, and is rebuilt if it is stale or damaged."""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from queries import Store, StoreError
from queries.engine import matrix as index
from store.layout import Layout
from tests.queries.support.stores import add_checkpoint, build_store, random_losses

MANY = tuple(range(0, 1400, 10))  # 140 checkpoints: three blocks


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return build_store(tmp_path / "many", sources=3, steps=MANY, longest=15)


def losses(root: Path) -> np.ndarray:
    """float32 (tokens, checkpoints), read from the loss files one by one."""
    files = Layout(root).scored().values()
    return np.stack([pq.read_table(f)["loss"].to_numpy() for f in files], axis=1)


def matrix(root: Path) -> np.ndarray:
    return np.concatenate(Store(root).matrix.blocks, axis=1)


def blocks(root: Path) -> dict[str, int]:
    """Name and time of change of status of each block."""
    return {p.name: p.stat().st_ctime_ns for p in Layout(root).index.glob("*.f32")}


@pytest.mark.parametrize("rows", [1, 7, 1_000_000])
def test_the_matrix_equals_the_loss_files(
    many: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(index, "_ROWS", rows)
    np.testing.assert_array_equal(matrix(many), losses(many))
    assert [b.shape[1] for b in Store(many).matrix.blocks] == [64, 64, 12]


def test_row_groups_of_any_size_are_read(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_ROWS", 5)
    path = Layout(many).loss_file(10)
    pq.write_table(pq.read_table(path), path, row_group_size=3)
    np.testing.assert_array_equal(matrix(many), losses(many))


@pytest.mark.parametrize("rows", [7, 1_000_000])
def test_of_a_store_that_grows_only_the_new_losses_are_read(
    many: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(index, "_ROWS", rows)
    matrix(many)
    read: list[str] = []
    pieces = index._Block._pieces

    def counted(block: index._Block, path: Path) -> Iterator[np.ndarray]:
        read.append(path.name)
        return pieces(block, path)

    monkeypatch.setattr(index._Block, "_pieces", counted)
    add_checkpoint(many, 1400, random_losses(many, 1))
    add_checkpoint(many, 1410, random_losses(many, 2))
    np.testing.assert_array_equal(matrix(many), losses(many))
    assert read == [Layout(many).loss_file(step).name for step in (1400, 1410)]
    assert len(blocks(many)) == 3

    read.clear()  # one in between: the columns after it belong to other places
    add_checkpoint(many, 1305, random_losses(many, 3))
    np.testing.assert_array_equal(matrix(many), losses(many))
    assert len(read) == 14 + 1


def test_a_current_index_is_not_rebuilt(many: Path) -> None:
    matrix(many)
    before = blocks(many)
    matrix(many)
    assert blocks(many) == before


def test_a_new_checkpoint_rebuilds_only_the_last_block(many: Path) -> None:
    matrix(many)
    before = blocks(many)
    add_checkpoint(many, 1400, random_losses(many, 1))
    np.testing.assert_array_equal(matrix(many), losses(many))
    after = blocks(many)
    assert len(after) == 3
    assert len(before.items() & after.items()) == 2


def test_an_open_store_is_not_affected_by_a_new_checkpoint(many: Path) -> None:
    store = Store(many)
    expected = losses(many)
    assert store.matrix.n_tokens == len(expected)
    add_checkpoint(many, 1400, random_losses(many, 1))
    matrix(many)  # drops the open store's last block from the folder
    np.testing.assert_array_equal(np.concatenate(store.matrix.blocks, axis=1), expected)


def test_a_changed_loss_file_is_noticed(many: Path) -> None:
    matrix(many)
    path = add_checkpoint(many, 500, random_losses(many, 2))
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 1))
    np.testing.assert_array_equal(matrix(many), losses(many))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as handle:
        handle.write(b"\xff" * 8)


def _remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [_truncate, _overwrite, _remove])
def test_a_damaged_block_is_rebuilt(many: Path, damage: Callable[[Path], None]) -> None:
    matrix(many)
    damage(sorted(Layout(many).index.glob("*.f32"))[1])
    np.testing.assert_array_equal(matrix(many), losses(many))


def test_a_loss_file_with_other_rows_is_named_and_no_block_is_left(own: Path) -> None:
    path = Layout(own).loss_file(400)
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(StoreError, match=r"000000400\.parquet has .* rows, but the store has"):
        matrix(own)
    assert not [p for p in Layout(own).index.iterdir() if "f32" in p.name]


def test_a_loss_file_that_is_not_parquet_is_named(own: Path) -> None:
    store = Store(own)
    Layout(own).loss_file(8).write_bytes(b"PAR1 and nothing else")
    with pytest.raises(StoreError, match=r"000000008\.parquet cannot be read"):
        store.matrix  # noqa: B018


def test_the_index_of_a_read_only_store_is_elsewhere(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    Layout(own).index.write_text("in the way, as a read-only disk would be")
    np.testing.assert_array_equal(matrix(own), losses(own))
    add_checkpoint(own, 5000, random_losses(own, 1))
    np.testing.assert_array_equal(matrix(own), losses(own))
    assert len(list((tmp_path / "temporary").rglob("losses-*.f32"))) == 1


def test_the_index_is_kept_in_memory_if_nothing_can_be_written(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere(many, tmp_path, monkeypatch)
    before = {p: p.stat().st_mtime_ns for p in many.rglob("*")}
    store = Store(many)
    np.testing.assert_array_equal(np.concatenate(store.matrix.blocks, axis=1), losses(many))
    assert len(store.trajectories({"all": "true"})) == len(MANY)
    assert store.sql("select count(*) from loss_rows").size == 1
    assert {p: p.stat().st_mtime_ns for p in many.rglob("*")} == before


def test_a_large_index_without_a_place_gets_a_sentence(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere(own, tmp_path, monkeypatch)
    monkeypatch.setattr(index, "MEMORY_LIMIT", 0)
    with pytest.raises(StoreError, match="free"):
        matrix(own)


def nowhere(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a read-only disk, even for root: files block the folders."""
    (tmp_path / "full").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    Layout(root).index.write_text("")
    Layout(root).catalog.mkdir()


def test_leftovers_of_a_killed_build_are_deleted_once_old(own: Path) -> None:
    folder = Layout(own).index
    folder.mkdir()
    old, fresh = (folder / f".losses-x.f32.{n}-1.tmp" for n in (1, 2))
    for path in (old, fresh):
        path.touch()
    os.utime(old, (0, 0))
    matrix(own)
    assert not old.exists()
    assert fresh.exists()


def test_progress_reaches_the_number_of_losses(many: Path) -> None:
    calls: list[tuple[int, int]] = []
    store = Store(many, progress=lambda done, total: calls.append((done, total)))
    total = store.matrix.n_tokens * len(MANY)
    assert calls == sorted(calls)
    assert calls[-1] == (total, total)


def test_several_processes_can_open_a_store_at_once(many: Path) -> None:
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(matrix(many))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for one in found:
        np.testing.assert_array_equal(one, losses(many))
