"""Several runs at once: each gets the store of a run by itself, on tokens that are made once."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from ingest import prepare
from ingest.text.corpus import Corpus, build_corpus
from queries import compare
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import Ingest
from tests.ingest.output.test_kill import assert_same
from tests.ingest.support.hub import Hub, serving, use
from tests.models import PROSE, byte_level, tiny

STEPS = (0, 10)


@pytest.fixture(scope="module")
def seeds(bpe: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a/run and b/run: two runs of one recipe. Read only."""
    root = tmp_path_factory.mktemp("seeds")
    for number, name in enumerate("ab"):
        for step in STEPS:
            folder = root / name / "run" / f"step{step}"
            tiny("gpt2", len(bpe), seed=100 * number + step).save_pretrained(folder)
            bpe.save_pretrained(folder)
    (root / "t.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in (PROSE, "War.")))
    return root


def line(seeds: Path, store: Path, *names: str) -> list[object]:
    return ["run", *(seeds / n for n in names), "--text", seeds / "t.jsonl", "--store", store]


def test_each_store_is_that_of_a_run_by_itself_and_they_compare(
    seeds: Path, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def counted(*arguments: Any) -> Corpus:
        made.append(1)
        return build_corpus(*arguments)

    monkeypatch.setattr(prepare, "build_corpus", counted)
    both = tmp_path / "both"
    assert ingest(*line(seeds, both, "a/run", "b/run")).status == 0
    assert made == [1]
    assert sorted(p.name for p in both.iterdir()) == ["a-run", "b-run"]
    for name in "ab":
        alone = line(seeds, tmp_path / name, f"{name}/run")
        assert ingest(*alone, "--name", f"{name}-run").status == 0
        assert_same(both / f"{name}-run", tmp_path / name)
    runs = compare([both / "a-run", both / "b-run"], group="is_word_start").runs
    assert set(runs["at"]) == {*STEPS}
    assert runs["mean_loss"].nunique() == 2 * len(STEPS)


def test_a_checkpoint_that_fails_in_one_run_leaves_the_others_whole(
    seeds: Path, ingest: Ingest, tmp_path: Path
) -> None:
    own = shutil.copytree(seeds, tmp_path / "own")
    (own / "a" / "run" / "step10" / "model.safetensors").write_bytes(b"no weights")
    store = tmp_path / "both"
    ended = ingest(*line(own, store, "a/run", "b/run"))
    assert ended.status == 1
    assert "failed: step10 cannot be loaded" in ended.error
    assert list(Layout(store / "a-run").scored()) == [0]
    assert list(Layout(store / "b-run").scored()) == [0, 10]
    shutil.copytree(
        seeds / "a" / "run" / "step10", own / "a" / "run" / "step10", dirs_exist_ok=True
    )
    assert ingest(*line(own, store, "a/run", "b/run")).status == 0
    assert list(Layout(store / "a-run").scored()) == [0, 10]


def other_tokenizer(own: Path) -> None:
    for step in STEPS:
        byte_level(300).save_pretrained(own / "b" / "run" / f"step{step}")


def other_context(own: Path) -> None:
    for config in (own / "b").rglob("config.json"):
        values = json.loads(config.read_text())
        config.write_text(json.dumps({**values, "n_positions": 16}))


@pytest.mark.parametrize(
    ("change", "arguments", "sentence"),
    [
        (other_tokenizer, ["a/run", "b/run"], "do not have the same tokenizer .*could not be comp"),
        (other_context, ["a/run", "b/run"], r"not have the same context length \(32 and 16\)"),
        (None, ["a/run", "a/run"], "two are the same: name each source once"),
        (None, ["a/run", "b/run", "--name"], "--name is for one source"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_and_nothing_is_written(
    seeds: Path,
    ingest: Ingest,
    tmp_path: Path,
    change: Callable[..., Any] | None,
    arguments: list[str],
    sentence: str,
) -> None:
    own = shutil.copytree(seeds, tmp_path / "own")
    if change:
        change(own)
    names = [a for a in arguments if a != "--name"]
    more = ["--name", "x"] if "--name" in arguments else []
    ended = ingest(*line(own, tmp_path / "s", *names), *more)
    assert ended.status == 2
    assert re.search(f"error: .*{sentence}", ended.error)
    assert not (tmp_path / "s").exists()


def test_the_runs_of_one_repository_get_a_store_each(
    seeds: Path, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = {
        f"step{step}-seed-{name}": seeds / name / "run" / f"step{step}"
        for name in "ab"
        for step in STEPS
    }
    refs["main"] = seeds / "a" / "run" / "step10"
    with serving(Hub("owner/recipe", refs)) as hub:
        use(monkeypatch, hub.url, tmp_path / "home")
        line = ("run", "owner/recipe", "--text", seeds / "t.jsonl", "--store", tmp_path / "s")
        assert ingest(*line).status == 2  # two runs, and no --variant
        assert ingest(*line, "--variant", "seed-a,seed-b").status == 0
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["seed-a", "seed-b"]
    models = [read_manifest(Layout(p).manifest).model for p in sorted((tmp_path / "s").iterdir())]
    assert models == ["owner/recipe seed-a", "owner/recipe seed-b"]
    assert_losses_equal(tmp_path / "s" / "seed-b", seeds / "b" / "run", seeds, ingest, tmp_path)


def assert_losses_equal(
    store: Path, folder: Path, seeds: Path, ingest: Ingest, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    assert ingest("run", folder, "--text", seeds / "t.jsonl", "--store", alone).status == 0
    for step, path in Layout(store).scored().items():
        assert path.read_bytes() == Layout(alone).loss_file(step).read_bytes()
