"""One small run and one small text for every test of ingest, and its command line in-process."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from ingest.__main__ import main
from ingest.sources import retries, settling
from store.layout import Layout
from tests.ingest.support.hub import Hub, serving, use
from tests.ingest.support.processes import finish
from tests.models import PROSE, byte_level, save_run

STEPS = (0, 10, 400)
LONG_STEPS = range(0, 80, 10)
REPO = "owner/run-x1"
ODD = "Naïve 🎉 café\r\n\r\n\u200bzero\u200bwidth — “quoted” 12,345.67 👨‍👩‍👧 \x00 end"


@dataclass(frozen=True)
class Ended:
    """How a command ended, and its standard error without the progress bar."""

    status: int
    error: str


Ingest = Callable[..., Ended]
Score = Callable[..., Ended]
LongRun = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged files of a test were written just now, and nobody will complete them."""
    monkeypatch.setattr(settling, "QUIET", 0.0)


@pytest.fixture
def ingest(capsys: pytest.CaptureFixture[str]) -> Ingest:
    """`python -m ingest …` in this process."""

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        status = main([str(a) for a in arguments])
        lines = capsys.readouterr().err.splitlines()
        return Ended(status, "\n".join(x for x in lines if "tok/s" not in x and x.strip()))

    return run


@pytest.fixture(scope="session")
def bpe() -> PreTrainedTokenizerFast:
    return byte_level()


@pytest.fixture(scope="session")
def run_folder(bpe: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints of a GPT-2. Read only."""
    return save_run(tmp_path_factory.mktemp("run"), bpe, STEPS)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four documents: longer than a context, short, odd, and of one character. Read only."""
    rows = [
        {"id": "prose", "year": 1861, "text": PROSE},
        {"id": "short", "year": 1862, "text": "The Congress met."},
        {"id": "odd", "year": None, "text": ODD},
        {"id": "one", "year": 1864, "text": "x"},
    ]
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def long_run(bpe: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> LongRun:
    """The arguments of a run over eight checkpoints, into the store that is named: long enough to
    be killed."""
    folder = tmp_path_factory.mktemp("long")
    save_run(folder / "run", bpe, LONG_STEPS)
    (folder / "t.txt").write_text(PROSE * 8)
    fixed = ["run", str(folder / "run"), "--text", str(folder / "t.txt"), "--store"]
    return lambda store, *more: [*fixed, str(store), *more]


@pytest.fixture(scope="session")
def long_store(long_run: LongRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The store of an undisturbed `long_run`, and the seconds that it takes once all is warm."""
    for name in ("cold", "warm"):
        store = tmp_path_factory.mktemp(name) / "store"
        began = time.monotonic()
        finish(long_run(store))
    assert list(Layout(store).scored()) == list(LONG_STEPS)
    return store, time.monotonic() - began


@pytest.fixture(scope="session")
def whole_store(run_folder: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of `run_folder` on `text`. Read only: damage a copy."""
    store = tmp_path_factory.mktemp("whole") / "store"
    assert main(["run", str(run_folder), "--text", str(text), "--store", str(store)]) == 0
    return store


@pytest.fixture
def published(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """`run_folder` on a Hub: main is the last of its checkpoints."""
    refs = {p.name: p for p in run_folder.iterdir()}
    refs["main"] = run_folder / f"checkpoint-{STEPS[-1]}"
    with serving(Hub(REPO, refs)) as hub:
        use(monkeypatch, hub.url, tmp_path / "home")
        monkeypatch.setattr(retries, "DELAYS", (0.01,) * 3)
        yield hub


@pytest.fixture
def score(ingest: Ingest, text: Path, tmp_path: Path) -> Score:
    """`run` on the repository into tmp_path/s."""
    store = tmp_path / "s"
    return lambda *more: ingest("run", REPO, "--text", text, "--store", store, *more)
