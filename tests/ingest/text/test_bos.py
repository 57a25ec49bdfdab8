"""A BOS that the model has no trained embedding for is passed over, with a note."""

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from store.manifest import read_manifest
from tests.ingest.conftest import Ingest
from tests.models import END, byte_level, tiny


def run_with(folder: Path, tokenizer: PreTrainedTokenizerFast, vocabulary: int) -> Path:
    tiny("gpt2", vocabulary).save_pretrained(folder / "checkpoint-1")
    tokenizer.save_pretrained(folder / "checkpoint-1")
    return folder


@pytest.mark.parametrize(
    ("vocabulary", "sentence"), [(320, "knows only 320"), (384, "padded part")]
)
@pytest.mark.parametrize("eos", [END, "<start>"])
def test_an_untrained_bos_is_passed_over(
    tmp_path: Path, ingest: Ingest, text: Path, vocabulary: int, sentence: str, eos: str
) -> None:
    tokenizer = byte_level()
    tokenizer.add_special_tokens({"bos_token": "<start>", "eos_token": eos})
    assert tokenizer.bos_token_id == 320
    source = run_with(tmp_path / "run", tokenizer, vocabulary)
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.status == 0
    assert ended.error.count("note: the BOS of the tokenizer has id 320") == 1
    assert sentence in ended.error
    manifest = read_manifest(tmp_path / "s" / "manifest.json")
    assert manifest.bos_id == (0 if eos == END else None)
    assert (f"the EOS, {END}" if eos == END else "no BOS is prepended") in ended.error


def test_an_added_bos_that_the_config_names_is_taken(
    tmp_path: Path, ingest: Ingest, text: Path
) -> None:
    """As in Qwen and OLMo: an added token in an embedding that is larger than the vocabulary."""
    tokenizer = byte_level()
    tokenizer.add_special_tokens({"bos_token": "<start>"})
    source = run_with(tmp_path / "run", tokenizer, 384)
    path = source / "checkpoint-1" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bos_token_id": 320}))
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.error == "" and read_manifest(tmp_path / "s" / "manifest.json").bos_id == 320
