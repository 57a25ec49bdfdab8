"""A part of a source is scored, then the rest; downloads come in order and are freed."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from ingest.errors import CheckpointError
from ingest.sources.folder import Folder
from ingest.sources.open import is_repository, open_source
from ingest.sources.prefetch import fetch_ahead
from ingest.sources.revisions import Checkpoint
from store.layout import Layout
from tests.ingest.conftest import STEPS, Ingest
from tests.ingest.support.hub import Hub, serving, use
from tests.models import save_run

CHECKPOINTS = [Checkpoint(n, f"step{n}", Path(f"step{n}"), n) for n in range(6)]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        (["--steps", "10:"], [10, 400]),
        (["--every", 2], [0, 400]),
        (["--max", 1], [400]),
        (["--revisions", "checkpoint-10, checkpoint-0"], [0, 10]),
        (["--revision-pattern", r"checkpoint-(?P<step>\d\d?)"], [0, 10]),
    ],
)
def test_a_part_of_a_folder_is_scored_and_later_the_rest(
    tmp_path: Path,
    ingest: Ingest,
    run_folder: Path,
    text: Path,
    whole_store: Path,
    options: list[int | str] | list[str],
    steps: list[int],
) -> None:
    store = tmp_path / "s"
    arguments = ("run", run_folder, "--text", text, "--store", store)
    assert ingest(*arguments, *options).status == 0
    assert list(Layout(store).scored()) == steps
    assert ingest(*arguments).status == 0
    assert list(Layout(store).scored()) == list(STEPS)
    for step, path in Layout(store).scored().items():
        assert path.read_bytes() == Layout(whole_store).loss_file(step).read_bytes()


def test_a_folder_that_is_here_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_repository("EleutherAI/pythia-14m")
    assert not any(is_repository(s) for s in ("run", "./a/b", "/a/b", "../b", "a/b/c", "a/", "~/b"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EleutherAI" / "pythia-14m").mkdir(parents=True)
    assert isinstance(open_source("EleutherAI/pythia-14m", tmp_path / "s"), Folder)


def test_the_tokenizer_may_be_on_the_hub(
    tmp_path: Path,
    ingest: Ingest,
    bpe: PreTrainedTokenizerFast,
    run_folder: Path,
    text: Path,
    whole_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = save_run(tmp_path / "run", bpe, STEPS)
    for path in source.glob("*/*token*"):
        path.unlink()
    arguments = ("run", source, "--text", text, "--store", tmp_path / "s")
    assert ingest(*arguments).status == 2
    with serving(Hub("owner/tokens", {"main": run_folder / "checkpoint-0"})) as hub:
        use(monkeypatch, hub.url, tmp_path / "home")
        assert ingest(*arguments, "--tokenizer", "owner/tokens").status == 0
    for step, path in Layout(tmp_path / "s").scored().items():
        assert path.read_bytes() == Layout(whole_store).loss_file(step).read_bytes()


class Recorded(Folder):
    """A folder that writes down what is fetched and freed, and has no step 2."""

    def fetch(self, checkpoint: Checkpoint) -> Checkpoint:
        EVENTS.append(f"+{checkpoint.step}")
        if checkpoint.step == 2:
            raise CheckpointError("no step 2")
        return checkpoint

    def free(self, checkpoint: Checkpoint) -> None:
        EVENTS.append(f"-{checkpoint.step}")
        if checkpoint.step == FULL:
            raise OSError("the disk is gone")


EVENTS: list[str] = []
FULL = -1


@pytest.mark.parametrize("at_once", [1, 2, 3, 9])
def test_so_many_are_on_disk_at_most_and_all_are_freed(at_once: int, tmp_path: Path) -> None:
    EVENTS.clear()
    for fetched in fetch_ahead(Recorded(tmp_path), CHECKPOINTS, at_once):
        checkpoint, problem = fetched.checkpoint, fetched.problem
        assert f"+{checkpoint.step}" in EVENTS
        assert f"-{checkpoint.step}" not in EVENTS  # not before the caller is done with it
        assert (problem is not None) == (checkpoint.step == 2)
    held = [sum(1 if e[0] == "+" else -1 for e in EVENTS[:i]) for i in range(len(EVENTS) + 1)]
    assert max(held) == min(at_once, len(CHECKPOINTS))
    assert held[-1] == 0


def test_what_cannot_be_freed_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.ingest.sources.test_sources.FULL", 3)
    with pytest.raises(OSError, match="the disk is gone"):
        list(fetch_ahead(Recorded(tmp_path), CHECKPOINTS, 2))
