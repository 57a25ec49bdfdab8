"""The bundled losses and probes are those of the bundled checkpoints, computed by hand."""

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ingest.probes.repeats import random_repeats
from ingest.text.corpus import Convention
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.support.by_hand import losses_by_hand, windows_by_hand
from tests.ingest.support.processes import ROOT

DEMO = ROOT / "data" / "demo"
LAYOUT = Layout(DEMO)
FOLDERS = {
    int(re.findall(r"\d+", folder.name)[-1]): folder
    for folder in (DEMO / "checkpoints").iterdir()
    if (folder / "config.json").exists()
}
STEPS = sorted(FOLDERS)


@pytest.fixture(scope="module")
def windows() -> list[list[int]]:
    """What the model saw, cut from the bundled text as the manifest says."""
    manifest = read_manifest(LAYOUT.manifest)
    tokenizer = AutoTokenizer.from_pretrained(FOLDERS[STEPS[0]])
    texts = pq.read_table(DEMO / "text" / manifest.text)["text"].to_pylist()
    return windows_by_hand(
        tokenizer, texts, manifest.context_length, manifest.bos_id, manifest.options["max_parts"]
    )


def test_eight_checkpoints_are_bundled_and_scored() -> None:
    assert len(STEPS) == 8
    assert set(STEPS) <= set(LAYOUT.scored())


def test_its_tokens_are_those_of_the_bundled_text(windows: list[list[int]]) -> None:
    tokens = pq.read_table(LAYOUT.tokens)
    assert tokens.num_rows >= 50_000
    assert tokens["token_id"].to_pylist() == [t for w in windows for t in w[1:]]
    assert tokens["doc"].to_pylist() == [d for d, w in enumerate(windows) for _ in w[1:]]
    assert tokens["position"].to_pylist() == [i for w in windows for i in range(1, len(w))]


@pytest.mark.parametrize("step", STEPS)
def test_every_loss_of_a_checkpoint_equals_one_computed_by_hand(
    windows: list[list[int]], step: int
) -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDERS[step], dtype="float32").eval()
    expected = np.concatenate([losses_by_hand(model, window) for window in windows])
    found = pq.read_table(LAYOUT.loss_file(step))["loss"].to_numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("step", (0, 1_640, 3_000))
def test_the_scores_of_heads_are_those_computed_by_hand(step: int) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        FOLDERS[step], dtype="float32", attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(FOLDERS[step])
    manifest = read_manifest(LAYOUT.manifest)
    convention = Convention(manifest.context_length, manifest.bos_id)
    repeats = random_repeats(tokenizer, model.config.vocab_size, convention)
    looked = np.zeros((2, 4))
    for window in repeats.windows:
        with torch.inference_mode():
            found = model(torch.from_numpy(window)[None], output_attentions=True).attentions
        for at in range(1 + repeats.length, len(window) - 1):  # the last has no next one there
            before = int(np.flatnonzero(window[:at] == window[at])[-1])
            looked += np.array([layer[0, :, at, before + 1].numpy() for layer in found])
    rows = pq.read_table(LAYOUT.probes).to_pylist()
    shipped = {(r["layer"], r["head"]): r["value"] for r in rows if r["checkpoint"] == step}
    expected = looked / (len(repeats.windows) * (repeats.length - 1))
    for (layer, head), score in np.ndenumerate(expected):
        assert shipped[layer, head] == pytest.approx(score, abs=1e-5)


@torch.inference_mode()
def test_the_predictions_of_a_checkpoint_are_those_computed_by_hand(
    windows: list[list[int]],
) -> None:
    assert list(LAYOUT.predicted()) == STEPS
    model = AutoModelForCausalLM.from_pretrained(FOLDERS[1_640], dtype="float32").eval()
    table, end = pq.read_table(LAYOUT.prediction_file(1_640)), 0
    for window in windows[:5]:
        begin, end = end, end + len(window) - 1
        found = table.slice(begin, end - begin)
        logits, actual = model(torch.tensor([window])).logits[0, :-1].double(), window[1:]
        log_p = torch.log_softmax(logits, 1)
        order = (-logits).argsort(dim=1, stable=True)
        rank = (order == torch.tensor(actual)[:, None]).int().argmax(1)
        assert (found["top_id"].to_numpy() == order[:, 0].numpy()).mean() > 0.99
        assert (found["rank"].to_numpy() == rank.numpy()).mean() > 0.99
        entropy = -(log_p.exp() * log_p).sum(1)
        np.testing.assert_allclose(found["entropy"].to_numpy(), entropy, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["top_loss"].to_numpy(), -log_p.amax(1), rtol=0, atol=1e-4)
