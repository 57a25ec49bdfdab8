"""The distance between two stores of the same tokens, checkpoint by checkpoint."""

import shutil
from pathlib import Path

import pytest

from ingest.verify import compare
from store.layout import Layout
from tests.ingest.conftest import Ingest
from tests.ingest.output.test_verify import put
from tests.models import PROSE


@pytest.fixture
def store(whole_store: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole_store, tmp_path / "store")


def test_a_store_is_no_distance_from_itself(store: Path, whole_store: Path, ingest: Ingest) -> None:
    assert [(d.checkpoint, d.largest, d.mean) for d in compare(store, whole_store)] == [
        (0, 0, 0),
        (10, 0, 0),
        (400, 0, 0),
    ]
    assert ingest("compare", store, whole_store).status == 0


@pytest.mark.parametrize("loss", [100.0, float("nan")])
def test_one_loss_that_differs_is_too_far(
    store: Path, whole_store: Path, ingest: Ingest, loss: float
) -> None:
    put(Layout(store).loss_file(10), "loss", 3, loss)
    assert ingest("compare", store, whole_store).status == 1
    far = [d.checkpoint for d in compare(store, whole_store) if not d.largest <= 1e-3]
    assert far == [10]


def test_a_tolerance_is_what_counts_as_no_difference(
    store: Path, whole_store: Path, ingest: Ingest
) -> None:
    put(Layout(store).loss_file(10), "loss", 3, 100.0)
    assert ingest("compare", store, whole_store, "--tolerance", 101).status == 0


@pytest.mark.parametrize("tolerance", ["nan", "-1", "some"])
def test_what_is_no_tolerance_is_refused(store: Path, ingest: Ingest, tolerance: str) -> None:
    ended = ingest("compare", store, store, f"--tolerance={tolerance}")
    assert ended.status == 2
    assert "--tolerance" in ended.error


def test_stores_that_cannot_be_compared_get_a_sentence(
    store: Path, whole_store: Path, ingest: Ingest, run_folder: Path
) -> None:
    for step in (0, 10):
        Layout(store).loss_file(step).unlink()
    assert [d.checkpoint for d in compare(store, whole_store)] == [400]
    Layout(store).loss_file(400).write_bytes(b"PAR1")
    assert "cannot be read" in ingest("compare", store, whole_store).error
    Layout(store).loss_file(400).unlink()
    ended = ingest("compare", store, whole_store)
    assert (ended.status, "no checkpoint in common" in ended.error) == (2, True)
    (store.parent / "t.txt").write_text(PROSE)
    other = store.parent / "other"
    ingest("run", run_folder, "--text", store.parent / "t.txt", "--store", other)
    ended = ingest("compare", other, whole_store)
    assert (ended.status, "their fingerprints differ" in ended.error) == (2, True)
