"""Python code that comes with a checkpoint is never asked about, and runs only when allowed."""

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import Ingest
from tests.models import save_run

CODE = """
from pathlib import Path
from transformers import GPT2Config, GPT2LMHeadModel

Path({mark!r}).touch()

class OwnConfig(GPT2Config):
    model_type = "own"

class OwnModel(GPT2LMHeadModel):
    config_class = OwnConfig
"""


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The code of the checkpoints creates this file when it runs."""
    return tmp_path / "ran"


@pytest.fixture
def remote(
    tmp_path: Path, bpe: PreTrainedTokenizerFast, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Two checkpoints of an architecture that transformers does not have."""
    monkeypatch.setattr("builtins.input", _never)
    source = save_run(tmp_path / "run", bpe, [1, 2])
    for folder in source.iterdir():
        (folder / "own_code.py").write_text(CODE.format(mark=str(mark)))
        path = folder / "config.json"
        own = {"AutoConfig": "own_code.OwnConfig", "AutoModelForCausalLM": "own_code.OwnModel"}
        values = {**json.loads(path.read_text()), "model_type": "own", "auto_map": own}
        path.write_text(json.dumps(values))
    return source


def _never(_question: object = None) -> str:
    raise AssertionError("a question was asked")


@pytest.mark.parametrize("command", ["run", "plan"])
def test_it_is_refused_with_a_sentence(
    tmp_path: Path, ingest: Ingest, remote: Path, text: Path, mark: Path, command: str
) -> None:
    store = ("--store", tmp_path / "s") if command == "run" else ()
    ended = ingest(command, remote, "--text", text, *store)
    assert ended.status == 2
    assert "checkpoint-1 needs Python code of its own" in ended.error
    assert "--trust-remote-code" in ended.error
    assert not mark.exists()


def test_it_runs_when_it_is_allowed(
    tmp_path: Path, ingest: Ingest, remote: Path, text: Path, mark: Path
) -> None:
    store = tmp_path / "s"
    arguments = (remote, "--text", text, "--trust-remote-code")
    assert ingest("run", *arguments, "--store", store).error == ""
    assert list(Layout(store).scored()) == [1, 2]
    assert mark.exists()
    assert read_manifest(store / "manifest.json").options["trust_remote_code"] is True
    assert ingest("plan", *arguments).status == 0


def test_a_store_says_that_code_was_run_from_the_first_run_that_allowed_it(
    tmp_path: Path, ingest: Ingest, remote: Path, bpe: PreTrainedTokenizerFast, text: Path
) -> None:
    """The first run refuses a checkpoint, and its advice must not lead to a refused store."""
    save_run(remote, bpe, [0])
    store = tmp_path / "s"
    assert "--trust-remote-code" in ingest("run", remote, "--text", text, "--store", store).error
    assert list(Layout(store).scored()) == [0]
    assert read_manifest(store / "manifest.json").options["trust_remote_code"] is False
    line = ("run", remote, "--text", text, "--store", store)
    assert ingest(*line, "--trust-remote-code").status == 0
    assert ingest(*line).status == 0
    assert read_manifest(store / "manifest.json").options["trust_remote_code"] is True
    assert list(Layout(store).scored()) == [0, 1, 2]
