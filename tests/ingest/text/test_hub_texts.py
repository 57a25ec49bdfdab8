"""Texts on a Hub, by the real `datasets`: articles, rows, no more than asked for; or a sentence."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.errors import IngestError
from ingest.text.documents import Dataset, articles, named_dataset
from ingest.verify import verify
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import STEPS
from tests.ingest.support.hub import Hub, commit_of, serving
from tests.ingest.support.processes import ENVIRONMENT, ROOT

REPO = "owner/run-x1"
LINES = [
    "",
    " = Valkyria Chronicles = \n",
    "",
    " The game began in 2010 . \n",
    " = = Plot = = \n",
    "",
    " a = b and = c = \n",
    " = Robert Boulter = \n",
    "",
    " He is an actor . \n",
    " = Valkyria Chronicles = \n",
    " Another one . \n",
]
ARTICLES = {
    "Valkyria Chronicles": " = Valkyria Chronicles = \n \n The game began in 2010 . \n"
    " = = Plot = = \n \n a = b and = c = ",
    "Robert Boulter": " = Robert Boulter = \n \n He is an actor . ",
    "Valkyria Chronicles (2)": " = Valkyria Chronicles = \n Another one . ",
}
CARD = """---
configs:
- config_name: wikitext-2-raw-v1
  data_files: [{split: test, path: wikitext-2-raw-v1/test-*}]
---
"""
Read = Callable[..., dict[str, Any]]
# Names of texts, one a line, on the way in; what was found, likewise, on the way out.
PROGRAM = """
import contextlib, json, sys
import datasets
from ingest.__main__ import main
from ingest.sources import retries
from ingest.errors import IngestError
from ingest.text.documents import open_text
retries.DELAYS = (0.01,) * 2
datasets.config.STREAMING_READ_RETRY_INTERVAL = 0.01
for line in sys.stdin:
    asked = json.loads(line)
    try:
        if "run" in asked:
            with contextlib.redirect_stdout(sys.stderr):
                status = main(asked["run"])
            print(json.dumps({"status": status}), flush=True)
            continue
        text = open_text(**asked)
        found = [(d.source, d.text, d.metadata) for d in text.documents]
        answer = {"name": text.name, "commit": text.commit, "found": found}
    except IngestError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer, default=str), flush=True)
"""


@pytest.fixture(scope="module")
def hub(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    wikitext, rows = tmp_path_factory.mktemp("wikitext"), tmp_path_factory.mktemp("rows")
    (wikitext / "wikitext-2-raw-v1").mkdir()
    (wikitext / "README.md").write_text(CARD)
    pq.write_table(
        pa.table({"text": LINES}), wikitext / "wikitext-2-raw-v1" / "test-00000-of-00001.parquet"
    )
    for part, texts in enumerate([["one", "", "two"], ["three"]]):
        columns = {
            "body": texts,
            "id": [f"{part}{i}" for i in range(len(texts))],
            "source": ["web"] * len(texts),
            "at": [{"year": 1861}] * len(texts),
        }
        pq.write_table(pa.table(columns), rows / f"train-0000{part}-of-00002.parquet")
    refs = {p.name: p for p in run_folder.iterdir()}
    refs["main"] = refs[f"checkpoint-{STEPS[-1]}"]
    sets = {"Salesforce/wikitext": wikitext, "owner/rows": rows}
    with serving(Hub(REPO, refs, datasets=sets)) as found:
        yield found


@pytest.fixture(scope="module")
def environment(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    return {**ENVIRONMENT, "HF_ENDPOINT": hub.url, "HF_HOME": str(home)}


@pytest.fixture(scope="module")
def read(environment: dict[str, str]) -> Iterator[Read]:
    """What `open_text` finds, or a run returns, in a process whose Hub is ours."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )

    assert process.stdin and process.stdout
    asked, answers = process.stdin, process.stdout

    def answer(text: str = "", **options: object) -> dict[str, Any]:
        asked.write(json.dumps({"text": text, **options}) + "\n")
        asked.flush()
        found: dict[str, Any] = json.loads(answers.readline())
        return found

    yield answer
    asked.close()
    process.wait()


def test_articles_begin_at_their_titles_and_keep_every_line() -> None:
    found = list(articles(LINES))
    assert {d.source: d.text for d in found} == ARTICLES
    assert list(articles([""])) == []
    lone = list(articles([" no title \n", " = T = \n"]))
    assert [d.source for d in lone] == ["before the first title", "T"]


def test_wikitext_is_its_articles(read: Read) -> None:
    answer = read("wikitext-2")
    assert answer["name"] == "Salesforce/wikitext:wikitext-2-raw-v1:test"
    assert answer["commit"] == commit_of("Salesforce/wikitext")
    assert {name: text for name, text, _ in answer["found"]} == ARTICLES
    assert read("hf:Salesforce/wikitext:wikitext-2-raw-v1", limit_docs=1)["found"] == [
        ["Valkyria Chronicles", ARTICLES["Valkyria Chronicles"], {}]
    ]


def test_rows_of_any_data_set_keep_their_columns(read: Read) -> None:
    answer = read("hf:owner/rows::train", column="body")
    other = {"meta_source": "web", "at": '{"year": 1861}'}
    assert answer["name"] == "owner/rows::train"
    assert answer["found"] == [["00", "one", other], ["02", "two", other], ["10", "three", other]]


def test_no_more_is_downloaded_than_asked_for(hub: Hub, read: Read) -> None:
    hub.requests.clear()
    answer = read("hf:owner/rows::train", column="body", limit_docs=2)
    assert [text for _, text, _ in answer["found"]] == ["one", "two"]
    assert [r for r in hub.requests if "train-00000" in r and r.startswith("GET")]
    assert not [r for r in hub.requests if "train-00001" in r and r.startswith("GET")]


@pytest.mark.parametrize("fault", ["reset", "503", "429"])
@pytest.mark.parametrize("where", ["GET /api/datasets/owner/rows", "/train-00000-of-00002.parquet"])
def test_what_fails_and_passes_changes_nothing(
    hub: Hub, read: Read, where: str, fault: str
) -> None:
    hub.faults.append((where, fault))
    answer = read("hf:owner/rows::train", column="body")
    assert not hub.faults
    assert [text for _, text, _ in answer["found"]] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("hf:owner/gone", {}, "owner/gone is neither a local folder nor a repository at http"),
        ("hf:owner/rows::train", {}, "owner/rows::train has no column 'text'; its columns are at"),
        ("hf:owner/rows::train", {"column": "at"}, "column 'at' holds a dict, expected text"),
        ("hf:owner/rows::gone", {}, "Bad split: gone. Available splits: ['train']"),
        ("hf:Salesforce/wikitext:gone", {}, "'gone' not found. Available: ['wikitext-2-raw-v1']"),
        ("hf:owner/rows::train", {"split": "test"}, "name two splits: give one of them"),
        ("hf::x", {}, "--text hf::x is not of the form hf:REPO:CONFIG:SPLIT: correct it"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence(
    read: Read, text: str, options: dict[str, object], sentence: str
) -> None:
    assert sentence in read(text, **options)["error"]


def test_names_say_which_data_set(tmp_path: Path) -> None:
    assert named_dataset("wikitext-103", "validation") == Dataset(
        "Salesforce/wikitext", "wikitext-103-raw-v1", "validation"
    )
    assert named_dataset("hf:a/b", None) == Dataset("a/b", None, "test")
    assert named_dataset("hf:a/b:c:train", "train") == Dataset("a/b", "c", "train")
    assert named_dataset("t.txt", None) is None
    with pytest.raises(IngestError, match="not of the form"):
        named_dataset("hf:a/b:c:d:e", None)


def test_a_run_on_wikitext_records_its_text_and_its_limits(read: Read, tmp_path: Path) -> None:
    def run(*more: str) -> int:
        line = ["run", REPO, "--text", "wikitext-2", "--store", str(tmp_path / "s"), *more]
        return int(read(run=line)["status"])

    limits = ("--limit-docs", "2", "--limit-tokens", "40", "--revisions", "checkpoint-10")
    assert run(*limits) == 0
    assert verify(tmp_path / "s") == []
    manifest = read_manifest(Layout(tmp_path / "s").manifest)
    assert manifest.text == "Salesforce/wikitext:wikitext-2-raw-v1:test"
    assert manifest.text_commit == commit_of("Salesforce/wikitext")
    assert (manifest.options["limit_docs"], manifest.options["limit_tokens"]) == (2, 40)
    assert manifest.n_tokens == 40
    docs = pq.read_table(Layout(tmp_path / "s").docs)
    assert set(docs["source"].to_pylist()) <= {*ARTICLES}
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*")}
    assert run("--limit-docs", "2") == 2  # another --limit-tokens: no checkpoint is added
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*")} == before
