"""Exported losses are those of the store, in every form, and import as the same store again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import ingest.__main__
import queries.__main__
from queries import QueryError, Store, export
from queries.errors import GroupError
from store.layout import Layout

EARLY = "position < 30"


def losses(store: Store, group: str) -> np.ndarray:
    return store.matrix.rows(store.members(group))


def run(*arguments: object) -> None:
    assert queries.__main__.main(["export", *map(str, arguments)]) == 0


def test_a_long_table_has_every_loss_and_its_token(store: Store, tmp_path: Path) -> None:
    run(store.path, "--to", tmp_path / "long.parquet", "--where", EARLY)
    found = pd.read_parquet(tmp_path / "long.parquet")
    expected = store.sql(
        "select l.*, source from losses l join docs using (doc) "
        f"where {EARLY} order by checkpoint, doc, position"
    )
    assert found.to_numpy().tolist() == expected[list(found.columns)].to_numpy().tolist()
    assert pq.read_metadata(tmp_path / "long.parquet").num_row_groups == len(store.steps)


def test_a_matrix_comes_with_its_tokens_and_checkpoints(store: Store, tmp_path: Path) -> None:
    run(store.path, "--to", tmp_path / "m.npy", "--where", EARLY)
    assert (np.load(tmp_path / "m.npy") == losses(store, EARLY)).all()
    tokens = pd.read_parquet(tmp_path / "m-tokens.parquet")
    assert tokens["row"].tolist() == store.members(EARLY).tolist()
    assert tokens["source"].tolist() == store.facts["source"][tokens["row"]].tolist()
    assert pd.read_parquet(tmp_path / "m-checkpoints.parquet")["checkpoint"].tolist() == store.steps


@pytest.mark.parametrize("kind", ["parquet", "npy"])
def test_what_was_exported_imports_as_the_same_store(
    kind: str, store: Store, tmp_path: Path
) -> None:
    run(store.path, "--to", tmp_path / f"all.{kind}")
    how = []
    if kind == "npy":
        named = (("--tokens", "all-tokens.parquet"), ("--checkpoints", "all-checkpoints.parquet"))
        how = [part for flag, name in named for part in (flag, str(tmp_path / name))]
    again = tmp_path / "again"
    arguments = ["import", str(tmp_path / f"all.{kind}"), "--store", str(again), *how]
    assert ingest.__main__.main(arguments) == 0
    found = Store(again)
    assert found.manifest.token_fingerprint == store.manifest.token_fingerprint
    assert (losses(found, "true") == losses(store, "true")).all()
    assert found.sources == store.sources
    ours, theirs = (s.trajectories({"x": EARLY}) for s in (found, store))
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_frame_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = store.steps[1:3]
    found = store.frame(EARLY, steps)
    pivoted = found.pivot(index="row", columns="checkpoint", values="loss")
    assert (pivoted.to_numpy() == losses(store, EARLY)[:, 1:3]).all()
    assert found.memory_usage(deep=False).sum() / len(found) < 60
    with pytest.raises(QueryError, match="checkpoint 3 is not in the store"):
        store.frame(EARLY, [3])
    with pytest.raises(GroupError):
        store.frame("position > 10000")
    monkeypatch.setattr(export, "LIMIT", 10_000)
    with pytest.raises(QueryError, match=r"tokens at 8 checkpoints would take .* fewer checkp"):
        store.frame(EARLY)


def test_existing_files_and_other_formats_are_refused(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.npy"
    path.write_bytes(b"mine")
    for to, sentence in ((path, "exists already"), (tmp_path / "m.mat", "ends in .parquet, .npy")):
        assert queries.__main__.main(["export", str(store.path), "--to", str(to)]) == 2
        assert sentence in capsys.readouterr().err
    assert path.read_bytes() == b"mine"
    run(store.path, "--to", path, "--overwrite")
    assert np.load(path).shape == (store.manifest.n_tokens, len(store.steps))


def test_xarray_reads_the_same_losses_from_memory_and_from_zarr(
    store: Store, tmp_path: Path
) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is optional: requirements-arrays.lock")
    pytest.importorskip("zarr", reason="zarr is optional: requirements-arrays.lock")
    run(store.path, "--to", tmp_path / "m.zarr", "--where", EARLY)
    held = store.to_xarray(EARLY)
    with xarray.open_zarr(tmp_path / "m.zarr") as read:
        for found in (held, read):
            assert (found["loss"].to_numpy() == losses(store, EARLY)).all()
            assert found["checkpoint"].to_numpy().tolist() == store.steps
            assert found["token_id"].dims == ("token",)
        text = read["token_str"].to_numpy().tolist()
    assert text == store.facts["token_str"][store.members(EARLY)].tolist()
    mean = held["loss"].where(held["position"] == 5, drop=True).mean("token")
    expected = store.trajectories({"x": "position = 5"})["mean_loss"]
    assert mean.to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)


def test_without_the_packages_the_error_says_what_to_install(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(QueryError, match=r"install token-trails\[arrays\]"):
        store.to_xarray()
    with pytest.raises(QueryError, match=r"needs the package zarr"):
        export.export(store, tmp_path / "m.zarr")


def test_what_an_imported_store_cannot_answer_says_why(tmp_path: Path) -> None:
    """Ids without texts: no words, and no probes."""
    ids = np.arange(60)
    np.savez(tmp_path / "x.npz", losses=np.ones((60, 2)), token_ids=ids, checkpoints=[0, 5])
    arguments = ["import", str(tmp_path / "x.npz"), "--store", str(tmp_path / "s")]
    assert ingest.__main__.main(arguments) == 0
    store = Store(tmp_path / "s")
    with pytest.raises(GroupError, match="is_word_start is NULL because the imported files have"):
        store.trajectories({"x": "is_word_start"})
    from queries import mechanism

    with pytest.raises(QueryError, match=r"no probes: the losses were imported .matrix. without"):
        mechanism(store, "true")
    assert Layout(tmp_path / "s").manifest.exists()
