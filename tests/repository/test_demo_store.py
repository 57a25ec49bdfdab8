"""The bundled store is complete, and its answers equal plain SQL over the long Parquet."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from ingest.verify import verify
from queries import Store

DEMO = Path(__file__).parents[2] / "data" / "demo"


@pytest.fixture(scope="module")
def demo() -> Store:
    return Store(DEMO)


def test_the_shipped_store_is_whole() -> None:
    assert verify(DEMO) == []


@pytest.mark.parametrize("clause", ["position = 500", "is_word_start", "token_str = ' the'"])
def test_means_equal_plain_sql(demo: Store, clause: str) -> None:
    ours = demo.trajectories({"g": clause})
    query = (
        "select checkpoint, avg(loss) as mean_loss, count(*) as n "
        f"from '{DEMO}/losses/*.parquet' where {clause} group by all order by checkpoint"
    )
    theirs = duckdb.sql(query).df()
    assert ours["checkpoint"].tolist() == theirs["checkpoint"].tolist()
    np.testing.assert_allclose(ours["mean_loss"], theirs["mean_loss"], atol=1e-6)
    assert (ours["n_tokens"] == theirs["n"]).all()


def test_every_named_group_answers(demo: Store) -> None:
    for name in demo.named_groups:
        # None of the report's six surnames occurs in these addresses, as data/README.md says.
        assert (len(demo.members(name)) > 0) == (name != "surnames_report")


def test_predictions_of_eight_checkpoints_equal_plain_sql(demo: Store) -> None:
    ours = demo.trajectories({"g": "is_word_start"}, measure="accuracy")
    theirs = duckdb.sql(
        "select checkpoint, avg((p.rank = 0)::integer) as accuracy "
        f"from '{DEMO}/predictions/*.parquet' as p "
        f"join '{DEMO}/tokens.parquet' as t using (doc, position) "
        "where is_word_start group by all order by checkpoint"
    ).df()
    assert len(ours) == 8
    assert ours["checkpoint"].tolist() == theirs["checkpoint"].tolist()
    np.testing.assert_allclose(ours["accuracy"], theirs["accuracy"], atol=1e-6)
    assert (np.diff(ours["accuracy"]) > -0.02).all()  # as training goes on, it guesses better
