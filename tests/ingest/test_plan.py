"""`plan` says what would be scored and what to know about it, and downloads nothing."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from ingest.__main__ import main
from ingest.errors import CheckpointError
from ingest.plan import Plan, describe, describe_cost, make_plan, warnings
from ingest.sources.audit import Parts, audit
from ingest.sources.revisions import Checkpoint, Naming
from ingest.sources.selection import Selection
from ingest.sources.source import Weights
from ingest.trial import Trial
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import Ingest
from tests.ingest.sources.test_selection import MISTRAL
from tests.ingest.support.hub import Hub, serving, use
from tests.models import byte_level, tiny

REPO = "stanford-crfm/battlestar-gpt2-small-x49"
PYTHIA = [0, *(2**i for i in range(10)), *range(1_000, 143_001, 1_000)]


@pytest.fixture
def mistral(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """609 branches in Mistral's names, each with weights of 100 bytes, and a main like the last."""
    refs = {}
    for step in MISTRAL:
        folder = tmp_path / "published" / str(step)
        folder.mkdir(parents=True)
        (folder / "pytorch_model.bin").write_bytes(b"%100d" % step)
        (folder / "config.json").write_text("{}")
        refs[f"checkpoint-{step}"] = folder
    refs["main"] = refs["checkpoint-400000"]
    with serving(Hub(REPO, refs)) as hub:
        use(monkeypatch, hub.url, tmp_path / "home")
        yield hub


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    assert main(["plan", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_609_branches_take_one_request_each_and_no_download(
    mistral: Hub, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = planned(capsys, REPO, "--prefetch", "3")
    assert lines == [
        f"{REPO}: 609 of 609 checkpoints, 0 to 400,000",
        "schedule: from 0 to 100 by 10, to 2,000 by 50, to 20,000 by 100, to 400,000 by 1,000",
        "weights: 61 kB in all, at most 300 bytes on disk at once (--prefetch 3)",
        "warning: checkpoint-400000 has the weights of main: that is right only if it is the "
        "last step",
    ]
    asked = [r for r in mistral.requests if REPO in r]
    assert len(asked) == 1 + 609 + 1  # the branches, each one's files, main's files
    assert not [r for r in asked if "resolve" in r]
    assert not list((tmp_path / "home").rglob("*.bin"))


def test_the_audit_finds_equal_weights_gaps_and_what_is_missing(
    mistral: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    mistral.refs["checkpoint-274000"] = mistral.refs["checkpoint-273000"]
    del mistral.refs["checkpoint-9000"], mistral.refs["checkpoint-9100"]
    (mistral.refs["checkpoint-50000"] / "pytorch_model.bin").unlink()
    mistral.refs["main"] = mistral.refs["checkpoint-300"]
    found = [line for line in planned(capsys, REPO) if line.startswith("warning")]
    assert found == [
        "warning: checkpoint-50000 has no weights: expected model.safetensors or pytorch_model.bin "
        "in it",
        "warning: checkpoint-273000, checkpoint-274000 have the same weights: all but one are "
        "copies of another step; leave them out with --revisions, or ask who published them",
        "warning: checkpoint-300 has the weights of main: that is right only if it is the last "
        "step",
        "warning: there are no checkpoints between 8,900 and 9,200: look for them in the source, "
        "or expect a jump there",
    ]


def test_only_what_is_chosen_is_asked_about(
    mistral: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = planned(capsys, REPO, "--steps", "0:20000:500", "--every", "2", "--max", "4")
    assert lines[0] == f"{REPO}: 4 of 609 checkpoints, 0 to 20,000"
    assert len([r for r in mistral.requests if "/tree/" in r]) == 4 + 1
    lines = planned(capsys, REPO, "--revisions", "checkpoint-300,checkpoint-350")
    assert lines[0] == f"{REPO}: 2 of 2 checkpoints, 300 to 350"
    assert lines[1] == "schedule: from 300 to 350 by 50"
    assert lines[3:] == ["no warnings"]  # checkpoints selected by name are not a schedule with gaps


def test_a_folder_is_planned_like_a_repository(run_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "run")
    shutil.copytree(folder / "checkpoint-10", folder / "checkpoint-20")
    shutil.copy(folder / "checkpoint-400" / "model.safetensors", folder)
    (folder / "checkpoint-0" / "model.safetensors").unlink()
    plan = make_plan(folder, Naming(), Selection())
    assert warnings(plan) == [
        "checkpoint-0 has no weights: expected model.safetensors in it",
        "checkpoint-10, checkpoint-20 have the same weights: all but one are copies of another "
        "step; leave them out with --revisions, or ask who published them",
        "checkpoint-400 has the weights of the folder's own model: that is right only if it is the "
        "last step",
    ]
    size = (folder / "model.safetensors").stat().st_size
    assert f"weights: {3 * size / 1_000:.0f} kB in all" in describe(plan, 2)


@pytest.fixture
def mixed(tmp_path: Path, bpe: PreTrainedTokenizerFast) -> Path:
    """Four steps in shards; steps 20 and 30 hold one shard of step 40."""
    folder = tmp_path / "run"
    for step in (10, 20, 30, 40):
        tiny("gpt2", len(bpe), seed=step).save_pretrained(
            folder / f"checkpoint-{step}", max_shard_size="20KB"
        )
        bpe.save_pretrained(folder / f"checkpoint-{step}")
    shard = max((folder / "checkpoint-40").glob("*.safetensors")).name
    for step in (20, 30):
        shutil.copy(folder / "checkpoint-40" / shard, folder / f"checkpoint-{step}")
    return folder


SHARD = re.compile(
    r"checkpoint-20, checkpoint-30, checkpoint-40 have the same model-\d+-of-\d+\.safetensors, "
    r"though their other files differ: .* copy that file again for these"
)


def test_one_shard_of_another_step_is_found_by_plan_and_run(
    mixed: Path, text: Path, tmp_path: Path, ingest: Ingest
) -> None:
    (found,) = warnings(make_plan(mixed, Naming(), Selection()))
    assert SHARD.fullmatch(found)
    ended = ingest("run", mixed, "--text", text, "--store", tmp_path / "s")
    assert SHARD.fullmatch(ended.error.removeprefix("warning: "))


def test_one_shard_of_another_step_is_found_on_the_hub(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refs = {p.name: p for p in mixed.iterdir()}
    with serving(Hub(REPO, {**refs, "main": mixed / "checkpoint-10"})) as hub:
        use(monkeypatch, hub.url, tmp_path / "home")
        found = [line for line in planned(capsys, REPO) if "the same model-" in line]
    assert len(found) == 1
    assert SHARD.fullmatch(found[0].removeprefix("warning: "))


def test_tensors_of_another_step_are_found_where_files_are_local(
    run_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "run")
    one, two = (folder / f"checkpoint-{n}" / "model.safetensors" for n in (10, 400))
    name = "transformer.h.0.mlp.c_fc.weight"
    save_file({**load_file(one), name: load_file(two)[name]}, one, metadata={"format": "pt"})
    (found,) = warnings(make_plan(folder, Naming(), Selection()))
    assert found.startswith(f"checkpoint-10, checkpoint-400 have 1 equal tensors ({name}, …)")


def test_another_tokenizer_or_config_in_a_revision_is_found(
    run_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "run")
    byte_level(290).save_pretrained(folder / "checkpoint-10")
    path = folder / "checkpoint-400" / "config.json"
    path.write_text(path.read_text().replace('"n_positions": 32', '"n_positions": 64'))
    config, tokenizer = warnings(make_plan(folder, Naming(), Selection()))
    assert config.startswith("checkpoint-400: another config.json than checkpoint-0; compare")
    assert tokenizer.startswith("checkpoint-10: another tokenizer.json than checkpoint-0; if it")


def test_a_later_step_with_fewer_tokens_is_found() -> None:
    names = [(1, "step1-tokens4B", 4), (2, "step2-tokens3B", 3)]
    parts = [Parts(Checkpoint(n, r, Path(), n, tokens_seen=t)) for n, r, t in names]
    (found,) = audit(parts)
    assert found.startswith("step2-tokens3B is a later step than step1-tokens4B, but names fewer")


def gaps(numbers: list[int]) -> list[str]:
    """What the audit says of checkpoints that differ in all but their schedule."""
    published = [Checkpoint(n, f"step{n}", Path(), n) for n in numbers]
    chosen: list[tuple[Checkpoint, Weights | CheckpointError]] = [
        (c, Weights(("w",), 10, str(c.step))) for c in published
    ]
    return warnings(Plan("run", chosen, len(numbers), numbers, None))


@pytest.mark.parametrize("whole", [MISTRAL, PYTHIA, [500, 1_000, 1_500], [7], [3, 9]])
def test_a_whole_schedule_has_no_gaps_even_where_it_coarsens(whole: list[int]) -> None:
    assert gaps(whole) == []


@pytest.mark.parametrize("missing", [{5_000}, {5_000, 6_000}, {5_000, 7_000}, {1_000, 2_000}])
def test_missing_steps_leave_gaps(missing: set[int]) -> None:
    found = gaps([n for n in range(1_000, 20_000, 1_000) if n not in missing])
    assert len(found) == (2 if missing == {5_000, 7_000} else 1)
    assert all(f.startswith("there are no checkpoints between") for f in found)


COST = re.compile(
    r"losses: ([\d,]+) tokens of (\d+\.\d) bytes: ([\d.]+) (\w+) per checkpoint, "
    r"[\d.]+ \w+ in all\n"
    r"time: about [\d,]+ s at ([\d,]+) tokens per second, measured on cpu with (\w+) attention; .*"
)


def cost(lines: list[str]) -> re.Match[str]:
    """The last two lines of a plan, which estimate disk space and time."""
    found = COST.fullmatch("\n".join(lines[-2:]))
    assert found
    return found


def test_with_a_text_disk_and_time_are_told(
    run_folder: Path, text: Path, capsys: pytest.CaptureFixture[str], whole_store: Path
) -> None:
    found = cost(planned(capsys, str(run_folder), "--text", str(text)))
    n_tokens = read_manifest(whole_store / "manifest.json").n_tokens
    assert found[1] == str(n_tokens)
    size = Layout(whole_store).loss_file(10).stat().st_size
    assert float(found[2]) == pytest.approx(size / n_tokens, rel=0.1)
    assert float(found[5].replace(",", "")) > 1
    asked = planned(capsys, str(run_folder), "--text", str(text), "--attention", "eager")
    assert cost(asked)[6] == "eager"


def test_time_is_counted_for_what_has_weights() -> None:
    chosen = [(Checkpoint(n, str(n), Path(), n), Weights(("w",), 10, str(n))) for n in range(4)]
    missing = (Checkpoint(9, "9", Path(), 9), CheckpointError("none"))
    trial = Trial(1_000_000, 6.25, 1_000.0, "cpu", "sdpa")
    assert describe_cost(Plan("run", [*chosen, missing], 5, [], None), trial).splitlines() == [
        "losses: 1,000,000 tokens of 6.2 bytes: 6.2 MB per checkpoint, 25 MB in all",
        "time: about 67 min at 1,000 tokens per second, measured on cpu with sdpa attention; more "
        "if downloads are slower than that",
    ]


def test_a_repository_is_tried_without_its_weights(
    run_folder: Path,
    text: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refs = {p.name: p for p in run_folder.iterdir()}
    with serving(Hub(REPO, {**refs, "main": run_folder / "checkpoint-400"})) as hub:
        use(monkeypatch, hub.url, tmp_path / "home")
        lines = planned(capsys, REPO, "--text", str(text))
    assert cost(lines)
    assert not [r for r in hub.requests if "resolve" in r and r.endswith(".safetensors")]


def test_an_unusable_text_gets_a_sentence(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(run_folder), "--text", str(tmp_path / "gone.txt")]) == 2
    assert "gone.txt does not exist" in capsys.readouterr().err
