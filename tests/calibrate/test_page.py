"""docs/calibration.md is what its table gives, and `make calibrate` keeps the other procedures."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.calibrate import __main__ as command
from tests.calibrate import page

TABLE = command.DOCS / "calibration.csv"
FACTS = {"seed": 1, "date": "2026-01-01", "versions": "none"}


def rows(**columns: Any) -> pd.DataFrame:
    """Three designs of one procedure; the second is not as asked, the third has little power."""
    frame = pd.DataFrame(
        {
            "design": ["quiet", "loud", "planted"],
            "n_trials": 200,
            "measure": ["false claims", "false claims", "power"],
            "rate": [0.05, 0.3, float("nan")],
            "monte_carlo_error": [0.015, 0.032, float("nan")],
            "cannot_tell": [0.1, 0.0, 0.0],
            "power": [float("nan"), float("nan"), 0.6],
            "effect": [None, None, "spike"],
            "noise": ["white", "AR 0.9", "white"],
            "easy": [True, False, True],
            "asked": True,
        }
    )
    for name, value in {"procedure": "events", **FACTS, **columns}.items():
        frame[name] = value
    return frame


def test_the_page_is_written_from_its_table() -> None:
    written = (command.DOCS / "calibration.md").read_text(encoding="utf-8")
    assert written == page.render(page.read(TABLE))


def test_the_table_has_every_design_of_every_procedure() -> None:
    found = page.read(TABLE)
    for suite in command.SUITES:
        expected = {(d.procedure, d.name) for d in suite.all_designs()}
        assert expected <= set(zip(found["procedure"], found["design"], strict=True))


def test_what_is_not_as_asked_is_listed() -> None:
    text = page.render(rows())
    assert "- loud: false claims 30.0% ± 3.2\n" in text
    assert '- "cannot tell"' not in text
    assert "- planted: power 60.0% ± 3.5 (spike)\n" in text
    assert "| events | false claims | 2 | 17.5% | loud | 30.0% ± 3.2 | 1 | 10.0% |" in text
    assert "| white | 1 | 5.0% | 5.0% | 60.0% |" in text


def test_an_easy_design_must_have_an_answer() -> None:
    assert '- quiet: "cannot tell" in 30.0%' in page.render(rows(cannot_tell=[0.3, 0.3, 0.1]))


def test_bands_are_as_asked_between_two_coverages() -> None:
    text = page.render(rows(measure="coverage", rate=[0.95, 0.99, 0.9], power=float("nan")))
    assert "- quiet" not in text
    assert "- loud: coverage 99.0% ± 3.2\n" in text and "- planted: coverage 90.0%" in text


def test_a_run_of_one_procedure_keeps_the_others(tmp_path: Path) -> None:
    command.write(rows(), tmp_path)
    command.write(rows(procedure="overlap", seed=2), tmp_path)
    command.write(rows(seed=3), tmp_path)
    seeds = page.read(tmp_path / "calibration.csv").groupby("procedure")["seed"].unique()
    assert {name: list(found) for name, found in seeds.items()} == {"events": [3], "overlap": [2]}


def test_the_small_size_runs_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(TABLE, tmp_path)
    monkeypatch.setattr(command, "DOCS", tmp_path)
    asked = ["--size", "small", "--trials", "1", "--workers", "1", "--procedure"]
    assert command.main([*asked, "which moves first"]) == 0
    assert "which moves first" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == [TABLE.name]
    assert command.main([*asked, "nonsense"]) == 2
    assert "No procedure is named nonsense: expected band" in capsys.readouterr().out
