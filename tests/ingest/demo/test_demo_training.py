"""The demo's recipe: the same twice, repeats where it says, a table of what the run learned."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from ingest.demo.make import BUNDLED_STEPS, make_demo
from ingest.demo.muon import orthogonalise
from ingest.demo.text import END_OF_TEXT, Address, split, token_stream, train_tokenizer
from ingest.demo.train import Recipe, plant_repeat, rate_factor, saved_steps, train, training_batch
from ingest.errors import IngestError
from queries import Store

TEXT = ["My fellow citizens, the state of the Union is strong. " * 40, "We the people. " * 200]
SHORT = Recipe(steps=2, batch=2, warm_up=1)


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[Any]:
    """Training takes two, and another number than before would change other tests' last digits."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(TEXT)


def trained(tokenizer: PreTrainedTokenizerFast, folder: Path) -> list[str]:
    """sha256 of the weights of each checkpoint of a short run."""
    stream = token_stream(tokenizer, TEXT)
    losses = [loss for _, loss in train(stream, tokenizer, SHORT, folder)]
    assert losses[1] < losses[0]
    files = sorted(folder.glob("checkpoint-*/model.safetensors"))
    return [hashlib.sha256(f.read_bytes()).hexdigest() for f in files]


def test_the_same_seed_gives_the_same_weights(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    first = trained(tokenizer, tmp_path / "first")
    assert first == trained(tokenizer, tmp_path / "second")
    assert len(set(first)) == 3  # steps 0, 1 and 2


def test_at_least_a_hundred_checkpoints_are_saved_the_bundled_among_them() -> None:
    steps = saved_steps(Recipe().steps)
    assert len(steps) >= 100
    assert steps[0] == 0
    assert set(BUNDLED_STEPS) <= set(steps)


def test_the_rate_warms_up_and_decays_to_a_tenth() -> None:
    factors = [rate_factor(step, Recipe()) for step in range(Recipe().steps)]
    assert np.argmax(factors) == Recipe().warm_up - 1
    assert max(factors) == 1
    assert factors[-1] == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("shape", [(8, 8), (4, 16), (16, 4)])
def test_an_orthogonalised_matrix_has_singular_values_near_one(shape: tuple[int, ...]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert values.min() > 0.5
    assert values.max() < 1.4
    turned = torch.linalg.svd(matrix, full_matrices=False)
    assert ((turned.U @ turned.Vh) * orthogonalise(matrix)).sum() > 0.8 * min(shape)


def test_a_planted_repeat_is_the_same_span_twice() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        window = np.arange(513)
        repeat = plant_repeat(window, rng)
        assert 1 <= repeat.first <= repeat.second - repeat.length
        assert repeat.second + repeat.length <= len(window)
        span = window[repeat.first : repeat.first + repeat.length]
        assert (window[repeat.second : repeat.second + repeat.length] == span).all()


def test_training_windows_begin_with_the_bos_and_stay_in_the_text() -> None:
    batch = training_batch(np.arange(1_000, 2_000), 4, 512, 0, np.random.default_rng(0))
    assert batch.shape == (4, 513)
    assert (batch[:, 0] == 0).all()
    assert (batch[:, 1:] >= 1_000).all()


def test_every_tenth_address_is_held_out() -> None:
    every = [Address(str(i), i, "p", "q", "t") for i in range(23)]
    training, held_out = split(every)
    assert [a.year for a in held_out] == [0, 10, 20]
    assert len(training) == 20


def test_each_text_of_the_stream_begins_with_the_end_of_text_token(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    stream = token_stream(tokenizer, TEXT)
    bos = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    assert (stream == bos).sum() == len(TEXT)
    assert stream[0] == bos
    assert tokenizer.decode(stream[1:60]) == TEXT[0][: len(tokenizer.decode(stream[1:60]))]


def test_the_demo_is_made_whole_and_never_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ingest.demo.make.addresses",
        lambda: [Address(f"{i}.txt", 1790 + i, "p", "q", TEXT[i % 2] * 2) for i in range(12)],
    )
    make_demo(tmp_path, SHORT)
    table = (tmp_path / "evidence.md").read_text()
    assert table.splitlines()[2].startswith("| 0 | ")
    store = Store(tmp_path / "store")
    assert store.steps == [0, 1, 2]
    assert (store.sql("select distinct source from docs")["source"] != "").all()
    with pytest.raises(IngestError, match="exists already"):
        make_demo(tmp_path, SHORT)
