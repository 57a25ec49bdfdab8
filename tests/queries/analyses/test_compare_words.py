"""Models with different tokenizers are compared per byte and per word of the same text."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from queries import GroupError, QueryError, Store, StoreError, compare_words
from tests.queries.support.texts import TEXTS, Cut, text_store

MANY = {f"doc {i}": f"{text} And {i} more." for i in range(8) for text in (TEXTS["rain"],)}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Store]:
    folder = tmp_path_factory.mktemp("words")
    cuts = {"fine": Cut(1, longest=3, window=9), "coarse": Cut(2, longest=12, trimmed=True)}
    return [Store(text_store(folder / name, cut, MANY)) for name, cut in cuts.items()]


def test_bits_per_byte_equal_a_computation_by_hand(stores: list[Store]) -> None:
    found = compare_words(stores).frame
    n_bytes = sum(len(text.encode()) for text in MANY.values())
    for store in stores:
        of_store = found[found["run"] == str(store.path)].set_index("checkpoint")
        for step in store.steps:
            nats = store.matrix.column(step).astype(float).sum()
            assert of_store["value"][step] == pytest.approx(nats / np.log(2) / n_bytes, rel=1e-9)
        assert (of_store["n_bytes"] == n_bytes).all() and (of_store["n_docs"] == len(MANY)).all()
        assert (of_store["low"] < of_store["value"]).all()


def test_a_group_of_words_is_the_same_in_both_stores(stores: list[Store]) -> None:
    found = compare_words(stores, where="text ilike '%rain%'", per="word")
    assert (found.frame["n_words"] == 2 * len(MANY)).all()
    assert set(found.words["text"].str.strip()) == {"Rain", "rained"}
    at_the_end = found.frame[found.frame["checkpoint"] == 100]["value"].tolist()
    means = found.words[["first_loss", "second_loss"]].mean().tolist()
    np.testing.assert_allclose(at_the_end, means, rtol=1e-9)
    (difference,) = found.difference["difference"]
    assert difference == pytest.approx(means[1] - means[0], rel=1e-9)
    assert found.words["difference"].abs().is_monotonic_decreasing


def test_a_store_differs_from_its_copy_by_nothing(stores: list[Store], tmp_path: Path) -> None:
    copy = Store(shutil.copytree(stores[0].path, tmp_path / "copy"))
    found = compare_words([stores[0], copy])
    assert found.difference[["difference", "low", "high"]].abs().max(axis=None) < 1e-9


def test_other_texts_are_refused(stores: list[Store], tmp_path: Path) -> None:
    changed = Store(text_store(tmp_path / "a", Cut(1), {"doc 0": MANY["doc 0"].replace("R", "P")}))
    with pytest.raises(StoreError, match=re.escape("differs from character 2 on ('Rain")):
        compare_words([stores[0], changed])
    others = Store(text_store(tmp_path / "b", Cut(1), {"other": "Rain."}))
    with pytest.raises(StoreError, match="no source document in common"):
        compare_words([stores[0], others])
    with pytest.raises(QueryError, match="two or more different stores"):
        compare_words([stores[0], stores[0]])
    with pytest.raises(GroupError, match="words have no column"):
        compare_words(stores, where="position = 3")


def test_its_chart_and_script_work(stores: list[Store]) -> None:
    found = compare_words(stores)
    assert found.chart().to_dict(format="vega")
    assert "compare_words([Store(" in found.script()
