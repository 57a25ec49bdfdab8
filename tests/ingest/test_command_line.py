"""Unusable input gets one sentence that says what to do, exit status 2, and leaves nothing."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertLMHeadModel, PreTrainedTokenizerFast, T5Config

from ingest.__main__ import main
from store.layout import Layout
from tests.ingest.conftest import STEPS, Ingest
from tests.ingest.support.processes import pid_of, start
from tests.models import PROSE, byte_level, planted, save_run


@pytest.fixture
def case(tmp_path: Path, run_folder: Path) -> Path:
    """A folder with a run, a text and a few unusable things in it."""
    (tmp_path / "run").symlink_to(run_folder)
    (tmp_path / "t.txt").write_text(PROSE)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin1"))
    (tmp_path / "t.jsonl").write_text(json.dumps({"body": "x"}))
    (tmp_path / "step5").mkdir()
    (tmp_path / "no_tokenizer" / "step1").mkdir(parents=True)
    planted(320, 1, 2).save_pretrained(tmp_path / "no_tokenizer" / "step1")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"source": "gone"}, "gone does not exist: expected a folder that holds checkpoint"),
        ({"source": "t.txt"}, "t.txt is a file: expected a folder"),
        ({"source": "empty"}, "empty has no checkpoint folders .it is empty.: expected"),
        ({"source": "run/checkpoint-10"}, "is a single checkpoint .*name its parent folder"),
        ({"source": "."}, "no tokenizer in .* name a folder that holds one with --tokenizer"),
        ({"source": "no_tokenizer", "--tokenizer": "empty"}, "no tokenizer in .*empty"),
        ({"source": "no_tokenizer"}, "no tokenizer in .*no_tokenizer or its checkpoints"),
        ({"--text": "gone.txt"}, "gone.txt does not exist: expected a .txt"),
        ({"--text": "empty"}, "empty has no .txt, .jsonl, .parquet files"),
        ({"--text": "empty.txt"}, "empty.txt holds no text"),
        ({"--text": "latin.txt"}, "latin.txt is not UTF-8 .*iconv"),
        ({"--text": "t.jsonl"}, "no column 'text'; its columns are body: .*--column"),
        ({"--text": "t.jsonl", "--column": "txt"}, "no column 'txt'"),
        ({"--context-length": 1}, "--context-length is 1: expected at least 2"),
        ({"--stride": 32}, "--stride is 32, the minimum context of a token: expected 1 to 31"),
        (
            {"--split": "test"},
            "--split test is for texts on the Hub, and .*t.txt is local: omit it",
        ),
        ({"--context-length": 99}, "--context-length is 99, but the model .* at most 32"),
        ({"--store": "t.txt"}, "t.txt is a file: name a folder"),
        ({"--store": "t.txt/store"}, "Not a directory: .*fix this and rerun the same command"),
        ({"--store": "run"}, "is the folder of checkpoints: name another"),
        ({"--text": "empty", "--store": "empty"}, "is the folder of the text: name another"),
        ({"--text": "empty", "--store": "empty/s"}, "is inside the folder of the text, and would"),
        ({"--store": "run/checkpoint-9"}, "would be taken for a checkpoint of .* names a step"),
        (
            {"--store": "run/step7/s"},
            "would be taken for a checkpoint of .*, since step7 names a step",
        ),
        ({"--tokenizer": "gone"}, "--tokenizer .*gone is not a folder on this machine"),
    ],
)
def test_unusable_input_gets_a_sentence(
    case: Path, ingest: Ingest, change: dict[str, str | int], sentence: str
) -> None:
    options = {"source": "run", "--text": "t.txt", "--store": "store"} | change
    arguments: list[object] = [case / str(options.pop("source"))]
    for name, value in options.items():
        paths = name in ("--text", "--store", "--tokenizer")
        arguments += [name, case / str(value) if paths else value]
    before = sorted(case.rglob("*"))
    ended = ingest("run", *arguments)
    assert ended.status == 2
    assert re.match(f"error: .*{sentence}", ended.error)
    assert len(ended.error.splitlines()) == 1
    assert sorted(case.rglob("*")) == before


@pytest.mark.parametrize("name", ["source", "--text", "--store"])
def test_an_empty_place_is_refused(
    case: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(case / "empty")
    places = {"source": case / "run", "--text": case / "t.txt", "--store": case / "s"} | {name: ""}
    source = places.pop("source")
    ended = ingest("run", source, *(x for place in places.items() for x in place))
    assert (ended.status, ended.error) == (2, f"error: {name} is empty: name a file or folder")
    assert not list((case / "empty").iterdir())


@pytest.mark.parametrize("bad", [["--context-length", "0"], ["--max-parts", "x"], []])
def test_unusable_options_get_a_sentence(
    capsys: pytest.CaptureFixture[str], bad: list[str]
) -> None:
    assert main(["run", "somewhere", *bad]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.endswith("See `python -m ingest run --help`\n")
    assert len(error.splitlines()) == 1


def test_a_model_that_is_no_language_model_gets_a_sentence(
    case: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast
) -> None:
    folder = save_run(case / "t5", bpe, [1]) / "checkpoint-1"
    T5Config().save_pretrained(folder)
    arguments = ("run", case / "t5", "--text", case / "t.txt", "--store", case / "s")
    ended = ingest(*arguments, "--context-length", 16)
    assert ended.status == 2
    assert "describes a t5" in ended.error


def test_an_encoder_fails_because_it_sees_what_it_predicts(
    case: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast
) -> None:
    folder = save_run(case / "bert", bpe, [1]) / "checkpoint-1"
    config = BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=320,
    )
    BertLMHeadModel(config).save_pretrained(folder)
    ended = ingest("run", case / "bert", "--text", case / "t.txt", "--store", case / "s")
    assert ended.status == 1
    assert "sees the tokens that it has to predict" in ended.error


def test_a_tokenizer_larger_than_the_model_gets_a_sentence(
    case: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast
) -> None:
    folder = case / "small" / "step1"
    planted(100, 1, 2).save_pretrained(folder)
    bpe.save_pretrained(folder)
    ended = ingest("run", case / "small", "--text", case / "t.txt", "--store", case / "s")
    assert ended.status == 2
    assert "the model knows only 100 token types" in ended.error
    assert not (case / "s").exists()


def other_tokenizer(case: Path) -> list[object]:
    byte_level(300).save_pretrained(case / "other")
    return ["--tokenizer", case / "other"]


def other_text(case: Path) -> list[object]:
    (case / "other.txt").write_text(PROSE + "More.")
    return ["--text", case / "other.txt"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (other_tokenizer, "another tokenizer"),
        (other_text, "another text"),
        (lambda _: ["--context-length", 16], "another context length .context_length 32, now 16"),
        (lambda _: ["--no-bos"], "another BOS convention"),
        (lambda _: ["--max-parts", 1], "another --max-parts"),
        (lambda _: ["--stride", 16], "another --stride .stride None, now 16"),
        (lambda _: ["--limit-docs", 9], "another --limit-docs .limit_docs None, now 9"),
        (lambda _: ["--limit-tokens", 9_999], "another --limit-tokens"),
        (lambda _: ["--dtype", "bfloat16"], "another dtype"),
        (lambda _: ["--name", "other"], "another model"),
    ],
)
def test_a_store_of_something_else_is_refused_and_left_as_it_is(
    case: Path, ingest: Ingest, whole_store: Path, text: Path, change: Callable[..., Any], what: str
) -> None:
    store = shutil.copytree(whole_store, case / "store")
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*")}
    source = case / "run"
    arguments = ["run", source.resolve(), "--text", text, "--store", store, *change(case)]
    ended = ingest(*arguments)
    assert ended.status == 2
    assert re.match(f"error: .*was made with {what}.*name another --store", ended.error)
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*")} == before


@pytest.mark.parametrize("name", ["tokens.parquet", "docs.parquet", "checkpoints.parquet"])
def test_a_damaged_file_of_the_store_is_refused_until_deleted(
    case: Path, ingest: Ingest, whole_store: Path, run_folder: Path, text: Path, name: str
) -> None:
    store = shutil.copytree(whole_store, case / "store")
    damaged = store / name
    damaged.write_bytes(damaged.read_bytes()[:-20])
    arguments = ("run", run_folder, "--text", text, "--store", store)
    ended = ingest(*arguments)
    assert ended.status == 2
    assert re.match(
        f"error: .*{name} cannot be read .*: delete it and run ingest again", ended.error
    )
    damaged.unlink()
    assert ingest(*arguments).status == 0
    assert ingest("verify", store).status == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ('{"format_version": 99}', "format 99; .*: update Token Trails"),
        (None, "has loss files but no manifest.json: .*restore the manifest or name another"),
    ],
)
def test_a_store_without_a_usable_manifest_is_refused(
    case: Path,
    ingest: Ingest,
    whole_store: Path,
    run_folder: Path,
    text: Path,
    content: str | None,
    sentence: str,
) -> None:
    store = shutil.copytree(whole_store, case / "store")
    (store / "manifest.json").unlink()
    if content is not None:
        (store / "manifest.json").write_text(content)
    ended = ingest("run", run_folder, "--text", text, "--store", store)
    assert ended.status == 2
    assert re.match(f"error: .*{sentence}", ended.error)


@pytest.mark.parametrize("command", ["verify", "compare"])
def test_what_is_no_store_gets_a_sentence(
    case: Path, ingest: Ingest, command: str, whole_store: Path
) -> None:
    more = [whole_store] if command == "compare" else []
    ended = ingest(command, case / "gone", *more)
    assert (ended.status, ended.error[:6]) == (2, "error:")
    assert "gone does not exist: a store is a folder made by" in ended.error
    assert "has no manifest.json" in ingest(command, case / "empty", *more).error


ODD_NAMES = ["seed=1", "a b#%20", "[1]*?", "c:d", "-x", "ü\n'\"", ".hidden", "_u"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_folder_names_are_names_like_others(
    tmp_path: Path, ingest: Ingest, run_folder: Path, whole_store: Path, name: str
) -> None:
    folder = tmp_path / name
    shutil.copytree(run_folder, folder / "run")
    (folder / f"{name}.txt").write_text(PROSE)
    store = folder / "store"
    ended = ingest("run", folder / "run", "--text", folder / f"{name}.txt", "--store", store)
    assert (ended.status, ended.error) == (0, "")
    assert ingest("verify", store).status == 0
    assert list(Layout(store).scored()) == list(STEPS)


def test_a_second_ingest_into_the_same_store_is_refused(
    tmp_path: Path, ingest: Ingest, run_folder: Path, text: Path
) -> None:
    arguments = ["run", str(run_folder), "--text", str(text), "--store", str(tmp_path / "s")]
    first = start(arguments)
    while not (tmp_path / "s" / "manifest.json").exists():
        time.sleep(0.001)
    os.kill(pid_of(first), signal.SIGSTOP)
    try:
        ended = ingest(*arguments)
    finally:
        os.kill(pid_of(first), signal.SIGCONT)
    assert ended.status == 2
    assert re.match("error: another ingest is writing .*: wait for it or stop it", ended.error)
    first.join()
    assert ingest(*arguments).status == 0
    assert ingest("verify", tmp_path / "s").status == 0


def test_a_device_that_is_not_there_is_refused_at_once(
    tmp_path: Path, run_folder: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for device in ("gpu9", "cuda:99"):
        store = tmp_path / "store"
        line = ["run", str(run_folder), "--text", str(text), "--store", str(store)]
        assert main([*line, "--device", device]) == 2
        assert f"--device {device} cannot be used" in capsys.readouterr().err
        assert not store.exists()
