"""Runs on a Hub, by the real client: the store of the same folder, whatever fails on the way."""

import errno
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ingest import scoring
from ingest.sources import hub as client
from ingest.sources.prefetch import FetchedCheckpoint
from ingest.sources.revisions import Checkpoint
from ingest.verify import verify
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import REPO, STEPS, Ingest, Score
from tests.ingest.support import hub as served
from tests.ingest.support.hub import Hub, commit_of

WEIGHTS_OF_10 = f"GET /{REPO}/resolve/{commit_of('checkpoint-10')}/model.safetensors"


def losses(store: Path) -> dict[int, bytes]:
    return {step: path.read_bytes() for step, path in Layout(store).scored().items()}


def rows(store: Path) -> dict[int, dict[str, object]]:
    found = pq.read_table(Layout(store).checkpoints).to_pylist()
    return {row["checkpoint"]: row for row in found}


def on_disk(home: Path) -> set[str]:
    """Checkpoints whose weights are somewhere below."""
    return {p.parent.name for p in home.rglob("*.safetensors")}


def test_a_run_from_the_hub_equals_one_from_a_folder_byte_for_byte(
    published: Hub, score: Score, tmp_path: Path, whole_store: Path
) -> None:
    ended = score()
    assert (ended.status, ended.error) == (0, "")
    store = tmp_path / "s"
    assert losses(store) == losses(whole_store)
    assert (store / "tokens.parquet").read_bytes() == (whole_store / "tokens.parquet").read_bytes()
    for step, row in rows(store).items():
        assert (row["revision"], row["commit"]) == (
            f"checkpoint-{step}",
            commit_of(f"checkpoint-{step}"),
        )
        assert row["weights_sha256"] == rows(whole_store)[step]["weights_sha256"]
    assert read_manifest(Layout(store).manifest).model == REPO
    assert verify(store) == []


def test_commits_are_resolved_once_and_each_file_is_fetched_once(
    published: Hub, score: Score
) -> None:
    assert score().status == 0
    requests = published.requests
    assert requests.count(f"GET /api/models/{REPO}/refs") == 1
    weights = [r for r in requests if r.startswith("GET") and r.endswith(".safetensors")]
    assert len(weights) == len(set(weights)) == len(STEPS)
    # Each by its commit, so that a branch that moves during the run mixes nothing.
    assert all(f"/resolve/{commit_of(f'checkpoint-{s}')}/" in "".join(weights) for s in STEPS)


def test_downloads_are_freed_and_never_more_than_prefetch_are_on_disk(
    published: Hub, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    fetch = client.Repository._fetch

    def watched(self: Any, checkpoint: Checkpoint) -> Any:
        found = fetch(self, checkpoint)
        seen.append(len(on_disk(tmp_path / "home")))
        return found

    monkeypatch.setattr(client.Repository, "_fetch", watched)
    killed = client.download_folder(tmp_path / "s") / "checkpoint-7-0123456789ab"
    killed.mkdir(parents=True)
    (killed / "model.safetensors").write_text("what a run that was killed has left")
    assert score("--prefetch", 2).status == 0
    assert max(seen) == 2
    assert list((tmp_path / "home" / "token-trails").iterdir()) == []
    assert on_disk(tmp_path / "home") == set()
    shutil.rmtree(tmp_path / "s")
    seen.clear()
    assert score("--prefetch", 1).status == 0
    assert seen == [1] * len(STEPS)


def test_the_next_checkpoint_arrives_while_one_is_scored(
    published: Hub, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = {step: threading.Event() for step in STEPS}
    fetch, scored = client.Repository._fetch, scoring.Scorer.score

    def fetching(self: Any, checkpoint: Checkpoint) -> Any:
        found = fetch(self, checkpoint)
        arrived[checkpoint.step].set()
        return found

    def slowly(self: Any, fetched: FetchedCheckpoint) -> Any:
        if fetched.checkpoint.step == STEPS[0]:
            assert arrived[STEPS[1]].wait(20), "the second waits until the first is scored"
        return scored(self, fetched)

    monkeypatch.setattr(client.Repository, "_fetch", fetching)
    monkeypatch.setattr(scoring.Scorer, "score", slowly)
    assert score().status == 0


def test_with_keep_cache_the_hubs_own_cache_holds_all_and_is_used_again(
    published: Hub, score: Score, tmp_path: Path
) -> None:
    assert score("--keep-cache").status == 0
    snapshots = tmp_path / "home" / "hub" / "models--owner--run-x1" / "snapshots"
    commits = {commit_of(f"checkpoint-{s}") for s in STEPS}
    assert commits <= {p.name for p in snapshots.iterdir()}
    shutil.rmtree(tmp_path / "s")
    published.requests.clear()
    assert score("--keep-cache").status == 0
    assert not [r for r in published.requests if r.startswith("GET") and "safetensors" in r]
    assert commits <= {p.name for p in snapshots.iterdir()}


@pytest.mark.parametrize("fault", ["reset", "tear", "truncate", "damage", "429", "503", "500"])
def test_what_fails_and_passes_changes_nothing(
    published: Hub, score: Score, tmp_path: Path, whole_store: Path, fault: str
) -> None:
    published.faults.append((WEIGHTS_OF_10, fault))
    ended = score()
    assert ended.status == 0
    assert not published.faults
    assert losses(tmp_path / "s") == losses(whole_store)


@pytest.mark.parametrize("fault", ["reset", "429", "503"])
@pytest.mark.parametrize("what", ["/refs", "/tree/", "HEAD "])
def test_questions_to_the_hub_are_asked_again(
    published: Hub, score: Score, what: str, fault: str
) -> None:
    published.faults.append((what, fault))
    assert score().status == 0
    assert not published.faults


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("HEAD 403", "checkpoint-10 cannot be fetched .*403"),
        ("403", "checkpoint-10 cannot be fetched .*403"),
        ("damage", "checkpoint-10 cannot be fetched .model.safetensors was damaged on the way"),
        ("500", "checkpoint-10 cannot be fetched .*500"),
    ],
)
def test_what_does_not_pass_is_recorded_and_run_again_tries_just_that(
    published: Hub, score: Score, tmp_path: Path, whole_store: Path, fault: str, reason: str
) -> None:
    method, status = fault.split() if " " in fault else ("GET", fault)
    published.faults.extend([(WEIGHTS_OF_10.replace("GET", method), status)] * 9)
    ended = score()
    assert ended.status == 1
    found = rows(tmp_path / "s")
    assert list(losses(tmp_path / "s")) == [0, 400]
    assert found[10]["commit"] == commit_of("checkpoint-10")
    assert re.search(reason, str(found[10]["error"]))
    assert re.search(f"failed: {reason}", ended.error)
    assert on_disk(tmp_path / "home") == set()
    published.faults.clear()
    published.requests.clear()
    assert score().status == 0
    weights = [r for r in published.requests if r.startswith("GET") and "safetensors" in r]
    assert weights == [WEIGHTS_OF_10]
    assert losses(tmp_path / "s") == losses(whole_store)
    assert verify(tmp_path / "s") == []


def test_a_revision_that_has_moved_since_it_was_scored_is_told(
    published: Hub, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert score().status == 0
    before = losses(tmp_path / "s")
    moved = {"checkpoint-10": commit_of("another")}
    monkeypatch.setattr(served, "commit_of", lambda name: moved.get(name) or commit_of(name))
    ended = score()
    assert (ended.status, losses(tmp_path / "s")) == (0, before)
    assert ended.error == (
        "warning: checkpoint-10 has moved to another commit since it was scored: to score it "
        "again, delete losses/checkpoint-000000010.parquet from the store"
    )
    assert rows(tmp_path / "s")[10]["commit"] == commit_of("checkpoint-10")
    Layout(tmp_path / "s").loss_file(10).unlink()
    assert (score().status, score().error) == (0, "")
    assert rows(tmp_path / "s")[10]["commit"] == moved["checkpoint-10"]


def test_the_first_checkpoint_may_be_the_one_that_fails(
    published: Hub, score: Score, tmp_path: Path, whole_store: Path
) -> None:
    published.faults.extend([(f"/tree/{commit_of('checkpoint-0')}", "404")] * 9)
    ended = score()
    assert ended.status == 1
    assert "failed: checkpoint-0 cannot be fetched" in ended.error
    expected = losses(whole_store)
    assert losses(tmp_path / "s") == {step: expected[step] for step in (10, 400)}


def test_a_hub_that_is_down_gets_a_sentence(published: Hub, score: Score, tmp_path: Path) -> None:
    published.faults.extend([("/refs", "503")] * 9)
    ended = score()
    assert ended.status == 2
    assert re.match("error: http.* does not answer about owner/run-x1 .*503", ended.error)
    assert not (tmp_path / "s").exists()


def test_a_full_disk_ends_the_run_with_a_sentence(
    published: Hub, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(client, "_download", full)
    ended = score()
    assert ended.status == 2
    assert "No space left on device: fix this and rerun the same command" in ended.error


def test_what_is_no_repository_gets_a_sentence(
    published: Hub, ingest: Ingest, text: Path, tmp_path: Path
) -> None:
    ended = ingest("run", "owner/gone", "--text", text, "--store", tmp_path / "s")
    assert ended.status == 2
    assert "owner/gone is neither a local folder nor a repository at http" in ended.error
    published.refs = {"main": published.refs["main"], "fp32": published.refs["main"]}
    ended = ingest("run", REPO, "--text", text, "--store", tmp_path / "s")
    assert ended.status == 2
    assert "none of the 2 branches and tags of owner/run-x1 (fp32, main) names a" in ended.error
    assert not (tmp_path / "s").exists()
    assert not [r for r in published.requests if "resolve" in r]
