"""Probes say what planted weights do, and equal what is computed by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RwkvConfig,
    RwkvForCausalLM,
)

from ingest.errors import CheckpointError, IngestError
from ingest.probes.prefix_matching import Probe, gives_attentions, probe
from ingest.probes.repeats import LONGEST, SEQUENCES, Repeats, random_repeats
from ingest.text.corpus import Convention
from tests.induction import even_attention, induction_head
from tests.ingest.support.by_hand import losses_by_hand
from tests.models import CONTEXT, FAMILIES, tiny

TYPES = 24


@pytest.fixture(scope="module", params=[0, None], ids=["BOS", "no BOS"])
def repeats(bpe: PreTrainedTokenizerFast, request: pytest.FixtureRequest) -> Repeats:
    """Of token types under 24, with and without a BOS."""
    return random_repeats(bpe, TYPES, Convention(CONTEXT, request.param, None))


def values(probes: list[Probe]) -> dict[tuple[str, int | None, int | None], Any]:
    return {(p.probe, p.layer, p.head): p.value for p in probes}


def chance(repeats: Repeats) -> float:
    """The score of a head that attends evenly: one over the number of tokens it sees."""
    first = repeats.n_bos + repeats.length
    return float(np.mean([1 / (q + 1) for q in range(first, first + repeats.length - 1)]))


def test_a_segment_stands_twice_behind_the_bos_and_has_no_token_twice_nor_a_special_one(
    bpe: PreTrainedTokenizerFast,
) -> None:
    for context, bos in ((512, 0), (CONTEXT, 0), (CONTEXT, None), (101, 0), (100, 0)):
        found = random_repeats(bpe, len(bpe), Convention(context, bos, None))
        assert len(found.windows) == SEQUENCES
        assert found.length == min(LONGEST, (context - found.n_bos) // 2)
        for window in found.windows:
            assert len(window) == found.n_bos + 2 * found.length <= context
            segments = window[found.n_bos :].reshape(2, -1)
            assert (segments[0] == segments[1]).all()
            assert len(set(segments[0].tolist())) == found.length
            assert 0 not in segments
        assert (found.windows[0][: found.n_bos] == 0).all()
    again = random_repeats(bpe, len(bpe), Convention(100, 0, None))
    assert np.array_equal(found.windows, again.windows)
    assert len({tuple(w) for w in found.windows}) == SEQUENCES


def test_no_room_for_a_segment_gets_a_sentence(bpe: PreTrainedTokenizerFast) -> None:
    with pytest.raises(IngestError, match="is too small; run without --probes"):
        random_repeats(bpe, TYPES, Convention(4, 0, None))
    with pytest.raises(IngestError, match="1 token types that are not special"):
        random_repeats(bpe, 2, Convention(64, 0, None))


def test_an_induction_head_scores_one_and_predicts_the_second_copy(repeats: Repeats) -> None:
    found = values(probe(induction_head(TYPES, CONTEXT), repeats))
    # Without a BOS the first token, which has none before it, looks as if it were its own.
    torn = 0 if repeats.n_bos else 0.5 / (repeats.length - 1)
    assert found["prefix_matching", 1, 0] == pytest.approx(1 - torn, abs=1e-6)
    assert found["prefix_matching", 0, 0] < 1e-6  # it looks one token back
    assert found["loss_second", None, None] < 0.1
    assert found["loss_first", None, None] > 3


def test_even_attention_scores_chance_and_an_even_guess_costs_ln_of_the_vocabulary(
    repeats: Repeats,
) -> None:
    found = values(probe(even_attention(TYPES, CONTEXT), repeats))
    assert found == pytest.approx(
        {
            ("loss_first", None, None): math.log(TYPES),
            ("loss_second", None, None): math.log(TYPES),
            ("prefix_matching", 0, 0): chance(repeats),
            ("prefix_matching", 1, 0): chance(repeats),
        },
        abs=1e-6,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_scores_equal_those_computed_by_hand(
    family: str, repeats: Repeats, tmp_path: Path
) -> None:
    model = tiny(family)
    found = values(probe(model, repeats))
    n, bos = repeats.length, repeats.n_bos
    losses = np.array([losses_by_hand(model, w.tolist()) for w in repeats.windows])
    # Token i's loss stands in column i - 1.
    first, second = losses[:, bos : bos + n - 1], losses[:, bos + n : bos + 2 * n - 1]
    assert found["loss_first", None, None] == pytest.approx(first.mean(), abs=1e-4)
    assert found["loss_second", None, None] == pytest.approx(second.mean(), abs=1e-4)
    model.save_pretrained(tmp_path)
    eager = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.no_grad():
        weights = [
            eager(torch.tensor(w[None]), output_attentions=True).attentions for w in repeats.windows
        ]
    for layer in range(2):
        for head in range(2):
            scores = [
                weights[w][layer][0, head, bos + n + i, bos + i + 1].item()
                for w in range(SEQUENCES)
                for i in range(n - 1)
            ]
            expected = pytest.approx(np.mean(scores), abs=1e-6)
            assert found["prefix_matching", layer, head] == expected
    assert len(found) == 2 + 4


def test_a_model_that_is_probed_scores_as_before_with_its_own_attention(
    repeats: Repeats,
) -> None:
    model = tiny("gpt2")
    before = model.config._attn_implementation
    assert before == "sdpa"
    probe(model, repeats)
    assert model.config._attn_implementation == before


@pytest.mark.parametrize(
    "model",
    [
        MambaForCausalLM(
            MambaConfig(vocab_size=TYPES, hidden_size=16, num_hidden_layers=1, state_size=4)
        ),
        RwkvForCausalLM(
            RwkvConfig(
                vocab_size=TYPES, hidden_size=16, num_hidden_layers=2, attention_hidden_size=16
            )
        ),
    ],
    ids=["mamba", "rwkv"],
)
def test_a_model_without_attention_weights_has_losses_and_one_empty_score(
    model: PreTrainedModel, repeats: Repeats
) -> None:
    probes = probe(model.eval(), repeats)
    assert not gives_attentions(probes)
    found = values(probes)
    assert found.pop(("prefix_matching", None, None)) is None
    assert sorted(found) == [("loss_first", None, None), ("loss_second", None, None)]
    assert all(value > 0 for value in found.values())


def test_a_probe_that_is_no_number_is_refused(repeats: Repeats) -> None:
    model = tiny("gpt2")
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="not a finite number"):
        probe(model, repeats)
