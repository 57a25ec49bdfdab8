"""A checkpoint with another tokenizer is refused, unless the user names the one to use."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from store.layout import Layout
from tests.ingest.conftest import STEPS, Ingest
from tests.models import byte_level, save_run


@pytest.fixture
def two_tokenizers(tmp_path: Path, bpe: PreTrainedTokenizerFast) -> Path:
    """Step 10 comes with the tokenizer of another vocabulary."""
    source = save_run(tmp_path / "run", bpe, STEPS)
    byte_level(290).save_pretrained(source / "checkpoint-10")
    return source


def test_a_later_checkpoint_with_another_tokenizer_is_refused_alone(
    tmp_path: Path, ingest: Ingest, two_tokenizers: Path, text: Path
) -> None:
    store = tmp_path / "s"
    ended = ingest("run", two_tokenizers, "--text", text, "--store", store)
    assert ended.status == 1
    assert ended.error.startswith(
        "failed: checkpoint-10 comes with another tokenizer than the run's (it cuts 'The President"
    )
    assert "--tokenizer" in ended.error
    assert list(Layout(store).scored()) == [0, 400]
    rows = {
        r["checkpoint"]: r["error"]
        for r in pq.read_table(store / "checkpoints.parquet").to_pylist()
    }
    assert rows[10] == ended.error.removeprefix("failed: ")


def test_the_tokenizer_that_the_user_names_counts_for_all(
    tmp_path: Path, ingest: Ingest, two_tokenizers: Path, text: Path
) -> None:
    named = two_tokenizers / "checkpoint-0"
    arguments = ("run", two_tokenizers, "--text", text, "--store", tmp_path / "s")
    assert ingest(*arguments, "--tokenizer", named).status == 0
    assert list(Layout(tmp_path / "s").scored()) == list(STEPS)


def test_another_bos_is_another_tokenizer(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path
) -> None:
    source = save_run(tmp_path / "run", bpe, STEPS)
    path = source / "checkpoint-10" / "tokenizer_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "bos_token": "x", "eos_token": "x"})
    )
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert "checkpoint-10 comes with another tokenizer than the run's (its BOS is" in ended.error
    again = ingest("run", source, "--text", text, "--store", tmp_path / "t", "--no-bos")
    assert again.status == 0


def test_what_changes_no_token_is_no_other_tokenizer(
    tmp_path: Path, ingest: Ingest, run_folder: Path, text: Path
) -> None:
    source = shutil.copytree(run_folder, tmp_path / "run")
    path = source / "checkpoint-10" / "tokenizer.json"
    limit = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncation": limit}))
    assert ingest("run", source, "--text", text, "--store", tmp_path / "s").status == 0
