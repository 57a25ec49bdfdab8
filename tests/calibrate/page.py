"""docs/calibration.md, written from docs/calibration.csv."""

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ANSWERS = 10
MOST_FALSE = 0.075
COVERS = (0.925, 0.98)
LEAST_POWER = 0.8
MOST_SILENT = 0.2
"""Of answers "cannot tell" in easy designs."""
HEAD = """# Calibration

How often each procedure claims something that is not there, and how often it finds what is. Every
row is a simulation: a design, with or without a planted effect, that is drawn and analysed many
times. `make calibrate` runs all of them and writes this page from
[calibration.csv](calibration.csv); no number here is typed by hand.

- **False claims** are the share of trials in which the procedure reports an effect in a design
  without one or, with a planted lead, names the wrong curve. The procedures promise 5%; at most
  7.5% is asked.
- **Coverage** is the share of intervals that contain the truth. 95% is promised; 92.5 to 98% is
  asked. For leads it is that of the first of the five ways to measure, where there is a lead.
- **Cannot tell** is the share of trials in which the procedure says that it has no answer. At most
  20% is asked in the easy designs. For leads without a planted one, it is the right answer.
- **Power** is the share of trials in which a planted effect is found. At least 80% is asked for
  effects of the demo's size where noise has an autocorrelation of at most 0.6 and, for bands,
  there are at least 25 documents: fewer cannot tell 0.3 nats from noise of that size.
- **Designs whose rate is not as asked** counts false claims or coverage only; each section also
  lists missing answers and missing power. A coverage with fewer than 10 answers is not judged.
- **±** is one Monte Carlo standard error. Even if the true rate is 5%, about one design in eight
  shows more than 7.5% in 100 trials by chance.
"""

Row = Mapping[Hashable, Any]


def read(path: Path) -> pd.DataFrame:
    """The results: those of `calibrate`, with noise, easy, asked, seed, date and versions."""
    return pd.read_csv(path)


def render(frame: pd.DataFrame) -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *_made_with(frame), *_summary(frame), *_sections(frame)])


def _made_with(frame: pd.DataFrame) -> Iterator[str]:
    for names, rows in frame.groupby(["date", "seed", "versions"]):
        date, seed, versions = names
        procedures = ", ".join(rows["procedure"].unique())
        yield f"Run on {date} with seed {seed} ({versions}): {procedures}.\n"


def _summary(frame: pd.DataFrame) -> Iterator[str]:
    """One row per procedure and measure."""
    yield "## Summary\n"
    yield (
        "| procedure | measure | designs | mean | worst design | its rate | "
        "designs whose rate is not as asked | "
        '"cannot tell" in easy designs, at most |'
    )
    yield "|---" * 8 + "|"
    known = frame[frame["rate"].notna()]
    for (procedure, measure), rows in known.groupby(["procedure", "measure"], sort=False):
        worst = rows.iloc[int(_distance(rows).argmax())].to_dict()
        easy = frame[(frame["procedure"] == procedure) & frame["easy"]]
        cells = (
            procedure,
            measure,
            len(rows),
            _percent(np.average(rows["rate"], weights=rows["n_trials"])),
            worst["design"],
            _rate(worst),
            int(_outside(rows).sum()),
            _percent(easy["cannot_tell"].max()),
        )
        yield _line(*cells)
    yield ""


def _distance(rows: pd.DataFrame) -> pd.Series:
    """How far a rate is from what is promised: 5% false claims, or 95% coverage."""
    covers, rows = (
        rows["measure"].eq("coverage"),
        rows.assign(rate=rows["rate"].where(_answered(rows))),
    )
    return (rows["rate"] - rows["rate"].where(~covers, 0.95)).abs().where(covers, rows["rate"])


def _outside(rows: pd.DataFrame) -> pd.Series:
    """Is a rate outside of what is asked? A few answers do not show it."""
    false = rows["measure"].eq("false claims") & (rows["rate"] > MOST_FALSE)
    covers = rows["rate"].between(*COVERS) | rows["rate"].isna()
    outside = false | rows["measure"].eq("coverage") & ~covers
    return outside & _answered(rows)


def _answered(rows: pd.DataFrame) -> pd.Series:
    """Did the procedure answer often enough for its rate to be judged?"""
    answers = rows["n_trials"] * (1 - rows["cannot_tell"])
    return (answers >= ANSWERS) | rows["measure"].eq("false claims")


def _sections(frame: pd.DataFrame) -> Iterator[str]:
    for procedure, rows in frame.groupby("procedure", sort=False):
        yield f"## {str(procedure).capitalize()}\n"
        yield from _weak(rows)
        if rows["noise"].notna().all():
            yield from _by_noise(rows)
        yield "| design | trials | measure | rate | cannot tell | power | planted effect |"
        yield "|---" * 7 + "|"
        yield from (_row(row) for row in rows.to_dict("records"))
        yield ""


def _weak(rows: pd.DataFrame) -> Iterator[str]:
    """What this procedure does not keep."""
    outside = rows[_outside(rows)]
    silent = rows[rows["easy"] & (rows["cannot_tell"] > MOST_SILENT)]
    weak = rows[rows["asked"] & (rows["power"] < LEAST_POWER)]
    if outside.empty and silent.empty and weak.empty:
        yield "Every design is as asked.\n"
        return
    yield "Not as asked:\n"
    for row in outside.to_dict("records"):
        yield f"- {row['design']}: {row['measure']} {_rate(row)}"
    for row in silent.to_dict("records"):
        yield f'- {row["design"]}: "cannot tell" in {_percent(row["cannot_tell"])}'
    for row in weak.to_dict("records"):
        yield f"- {row['design']}: power {_power(row)} ({row['effect']})"
    yield ""


def _by_noise(rows: pd.DataFrame) -> Iterator[str]:
    """False claims over all designs with the same noise, next to the lowest power."""
    effects = rows.loc[rows["power"].notna(), "effect"].unique().tolist()
    yield _line(
        "noise", "designs", "false claims, mean", "worst", *(f"least power: {e}" for e in effects)
    )
    yield "|---" * (4 + len(effects)) + "|"
    for noise, same in rows.groupby("noise", sort=False):
        false = same[same["measure"].eq("false claims") & same["rate"].notna()]["rate"]
        powers = (_percent(same.loc[same["effect"] == e, "power"].min()) for e in effects)
        yield _line(noise, len(false), _percent(false.mean()), _percent(false.max()), *powers)
    yield ""


def _row(row: Row) -> str:
    return _line(
        row["design"],
        row["n_trials"],
        row["measure"],
        _rate(row),
        _percent(row["cannot_tell"]),
        _power(row),
        row["effect"] if isinstance(row["effect"], str) else "",
    )


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _rate(row: Row) -> str:
    return _with_error(row["rate"], row["monte_carlo_error"])


def _power(row: Row) -> str:
    power = row["power"]
    wary = (power * row["n_trials"] + 1) / (row["n_trials"] + 2)
    return _with_error(power, np.sqrt(wary * (1 - wary) / row["n_trials"]))


def _with_error(share: float, error: float) -> str:
    return "" if np.isnan(share) else f"{_percent(share)} ± {100 * error:.1f}"


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.1f}%"
