"""A run option is one field: its help, its default on the command line, its manifest entry."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from ingest.__main__ import main
from ingest.options import RunOptions, recorded_options
from ingest.sources.revisions import Naming
from ingest.sources.selection import Shard, StepRange
from tests.ingest.support.processes import ROOT


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    assert main([command, "--help"]) == 0
    return capsys.readouterr().out


def flag(name: str) -> str:
    return {"max_checkpoints": "--max"}.get(name, f"--{name.replace('_', '-')}")


def test_every_option_is_in_the_help_and_plan_has_those_that_it_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, plan = (shown(capsys, monkeypatch, name) for name in ("run", "plan"))
    for option in fields(RunOptions):
        assert f"{flag(option.name)} " in run
        assert (f"{flag(option.name)} " in plan) != option.metadata["only_run"], option.name
    for panel in ("Checkpoints", "Text", "Model", "Output", "Many machines"):
        assert f"─ {panel} ─" in run
    assert "[default: 2]" in run


def test_recorded_options_are_entries_of_the_manifest() -> None:
    assert [o.name for o in recorded_options()] == [
        "chat",
        "document_column",
        "max_parts",
        "stride",
        "limit_docs",
        "limit_tokens",
        "trust_remote_code",
        "precision",
        "predictions",
    ]
    assert RunOptions(stride=7).recorded == {
        "chat": False,
        "document_column": None,
        "max_parts": None,
        "stride": 7,
        "limit_docs": None,
        "limit_tokens": None,
        "trust_remote_code": False,
        "precision": "highest",
        "predictions": False,
    }


def test_the_command_line_gives_the_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    import ingest.run

    seen: list[RunOptions] = []

    def run(source: str, text: str, store: str, options: RunOptions) -> None:
        assert (source, text, store) == ("a", "b", "c")
        seen.append(options)

    monkeypatch.setattr(ingest.run, "run", run)
    monkeypatch.setattr(ingest.run, "print_report", lambda store, report: 0)
    line = ["run", "a", "--text", "b", "--store", "c"]
    assert main(line) == 0
    assert seen.pop() == RunOptions()
    more = ["--steps", "0:9:3", "--shard", "2/3", "--no-bos", "--max", "5", "--dtype", "bfloat16"]
    names = ["--revisions", "x, y,", "--variant", "seed-a", "--engine", "ray"]
    assert main([*line, *more, *names]) == 0
    options = seen.pop()
    assert (options.steps, options.shard) == (StepRange(0, 9, 3), Shard(2, 3))
    assert (options.no_bos, options.max_checkpoints, options.dtype) == (True, 5, "bfloat16")
    assert options.engine == "ray"
    assert options.naming == Naming(revisions=("x", "y"), variant="seed-a")
    assert options.selection.at_most == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--steps", "3"], "'3' is not a range of steps such as 0:20000:500"),
        (["--shard", "4/3"], "'4/3' is not a shard such as 1/16"),
        (["--dtype", "int8"], "--dtype"),
        (["--limit-docs", "0"], "greater than or equal to 1"),
        (["--stps", "1:2"], "No such option: --stps"),
    ],
)
def test_bad_values_get_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(["run", "a", "--text", "b", "--store", "c", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_help_is_shown_without_torch() -> None:
    program = (
        "import sys; from ingest.__main__ import main\n"
        "for line in (['--help'], ['run', '--help'], ['plan', '--help'], []): main(line)\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'huggingface_hub'} & sys.modules.keys()\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_windows_gets_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["verify", str(tmp_path)]) == 2
    assert (
        "error: ingest needs Linux or macOS: on Windows, run it in WSL" in capsys.readouterr().err
    )
