"""Runs are matched or refused, and equal pandas over the long format of all stores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from queries import QueryError, Store, StoreError, compare
from store.layout import Layout
from tests.queries.support.stores import PlainSql, add_checkpoint, build_store, random_losses

GROUP = "is_word_start"
SHARED = [0, 10, 20]


def set_tokens_seen(root: Path, per_step: int | None) -> None:
    """Write to checkpoints.parquet that each step saw `per_step` tokens."""
    path = Layout(root).checkpoints
    table = pq.read_table(path)
    steps = table["checkpoint"].to_pylist()
    seen = pa.array([None if per_step is None else s * per_step for s in steps], pa.int64())
    at = table.schema.get_field_index("tokens_seen")
    pq.write_table(table.set_column(at, table.schema.field(at), seen), path)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of the same tokens that share steps 0, 10 and 20; the last saw twice as much."""
    folder = tmp_path_factory.mktemp("runs")
    roots = []
    for number, steps in enumerate([(0, 10, 20, 40), (0, 5, 10, 20), (0, 10, 20, 30)]):
        root = build_store(folder / f"seed-{number}", steps=())
        for step in steps:
            add_checkpoint(root, step, random_losses(root, 100 * number + step))
        set_tokens_seen(root, 1000 if number < 2 else 2000)
        roots.append(root)
    return roots


@pytest.fixture(scope="module")
def means(seeds: list[Path]) -> pd.DataFrame:
    """Mean loss of the group: a row per step, a column per run."""
    found = {str(s): PlainSql(s).means(GROUP).set_index("checkpoint")["mean_loss"] for s in seeds}
    return pd.DataFrame(found)


def test_runs_at_the_steps_that_all_have_equal_pandas(
    seeds: list[Path], means: pd.DataFrame
) -> None:
    got = compare(seeds, group=GROUP)
    table = got.runs.pivot(index="at", columns="run", values="mean_loss")
    assert table.index.tolist() == SHARED
    np.testing.assert_allclose(table[list(means)], means.loc[SHARED], rtol=1e-9)
    spread = got.spread.set_index("at")
    expected = means.loc[SHARED].agg(["mean", "std", "min", "max"], axis=1)
    columns = ["mean_loss", "standard_deviation", "lowest", "highest"]
    np.testing.assert_allclose(spread[columns], expected, rtol=1e-9)
    assert spread["n_runs"].tolist() == [3, 3, 3]


def test_a_runs_trajectory_is_that_of_its_store(seeds: list[Path]) -> None:
    got = compare([Store(s) for s in seeds], group=GROUP).runs
    assert got["run"].unique().tolist() == [str(s) for s in seeds]
    for seed in seeds:
        alone = Store(seed).trajectories({"g": GROUP}).drop(columns="token_group")
        alone = alone[alone["checkpoint"].isin(SHARED)].reset_index(drop=True)
        mine = got[got["run"] == str(seed)].reset_index(drop=True)
        assert mine["at"].tolist() == SHARED
        pd.testing.assert_frame_equal(mine.drop(columns=["at", "run"]), alone)


def test_runs_match_by_tokens_seen(seeds: list[Path], means: pd.DataFrame) -> None:
    got = compare([seeds[0], seeds[2]], group=GROUP, by="tokens_seen")
    one, two = (got.runs[got.runs["run"] == str(s)] for s in (seeds[0], seeds[2]))
    assert one["at"].tolist() == two["at"].tolist() == [0, 20_000, 40_000]
    assert one["checkpoint"].tolist() == [0, 20, 40]
    assert two["checkpoint"].tolist() == [0, 10, 20]
    np.testing.assert_allclose(one["mean_loss"], means.loc[[0, 20, 40], str(seeds[0])])
    np.testing.assert_allclose(two["mean_loss"], means.loc[[0, 10, 20], str(seeds[2])])
    assert got.spread["at"].tolist() == [0, 20_000, 40_000]


def test_all_runs_are_measured_on_the_tokens_of_the_first(seeds: list[Path]) -> None:
    clause = "loss_at(row, 10) > 3"
    got = compare(seeds, group=clause)
    members = Store(seeds[0]).members(clause)
    assert (got.runs["n_tokens"] == len(members)).all()
    second = Store(seeds[1])
    expected = second.matrix.column(20)[members].mean(dtype=float)
    mine = got.runs[(got.runs["run"] == str(seeds[1])) & (got.runs["at"] == 20)]
    np.testing.assert_allclose(mine["mean_loss"], expected)
    assert len(second.members(clause)) != len(members)


def test_stores_of_other_tokens_are_refused(seeds: list[Path], tmp_path: Path) -> None:
    other = build_store(tmp_path / "other", seed=1)
    with pytest.raises(StoreError, match="hold different tokens") as raised:
        compare([*seeds, other], group=GROUP)
    assert str(seeds[0]) in str(raised.value) and str(other) in str(raised.value)


def test_fewer_than_two_stores_are_refused(seeds: list[Path]) -> None:
    for stores in ([], seeds[:1], [seeds[0], seeds[1], seeds[0]]):
        with pytest.raises(QueryError, match="expected two or more different stores"):
            compare(stores, group=GROUP)


def test_runs_without_a_shared_checkpoint_are_refused(seeds: list[Path], tmp_path: Path) -> None:
    other = build_store(tmp_path / "late", steps=())
    add_checkpoint(other, 7, random_losses(other, 0))
    set_tokens_seen(other, 11)
    with pytest.raises(QueryError, match=r"no checkpoint with the same step .*1 from 7 to 7"):
        compare([seeds[0], other], group=GROUP)
    with pytest.raises(QueryError, match=r"same number of tokens seen .* match by step"):
        compare([seeds[0], other], group=GROUP, by="tokens_seen")


def test_a_store_without_tokens_seen_is_refused(seeds: list[Path], tmp_path: Path) -> None:
    other = build_store(tmp_path / "silent", steps=(0, 10))
    with pytest.raises(
        StoreError, match=r"silent does not record how many tokens .* match by step"
    ):
        compare([seeds[0], other], group=GROUP, by="tokens_seen")


def test_two_checkpoints_with_equal_tokens_seen_are_refused(
    seeds: list[Path], tmp_path: Path
) -> None:
    other = build_store(tmp_path / "twice", steps=(0, 10))
    set_tokens_seen(other, 0)
    with pytest.raises(StoreError, match=r"two checkpoints of .*twice have seen 0 tokens"):
        compare([seeds[0], other], group=GROUP, by="tokens_seen")


def test_an_unknown_matching_is_refused(seeds: list[Path]) -> None:
    with pytest.raises(QueryError, match="matched by name: expected step or tokens_seen"):
        compare(seeds, group=GROUP, by="name")
