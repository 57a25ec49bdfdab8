"""In a run, each checkpoint of any architecture gets the losses that it gets alone."""

from pathlib import Path

import pytest

from tests.alone import compare_with_alone

# One of each kind of forward; `make sweep` does this for all that transformers has.
CACHED = (
    "bloom",
    "codegen",
    "deepseek_v3",
    "falcon",
    "falcon_h1",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gpt_oss",
    "gptj",
    "granite",
    "llama",
    "mamba",
    "mixtral",
    "mpt",
    "nanochat",
    "olmo2",
    "olmoe",
    "openai-gpt",
    "opt",
    "phi",
    "qwen3_next",
    "recurrent_gemma",
    "rwkv",
    "stablelm",
    "xglm",
)


@pytest.mark.parametrize("architecture", CACHED)
def test_every_checkpoint_of_a_run_is_scored_as_it_is_alone(
    tmp_path: Path, architecture: str
) -> None:
    found = compare_with_alone(architecture, tmp_path)
    assert found.error is None
    assert found.largest < 1e-4
