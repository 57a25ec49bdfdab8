"""`make sweep`: every architecture that transformers can build tiny, in a run and alone.

Writes the table of docs/architectures.md.
"""

import re
import signal
import sys
import tempfile
from pathlib import Path

from transformers.utils import logging

from tests.alone import Comparison, compare_with_alone
from tests.architectures import ARCHITECTURES, tiny_model

PAGE = Path("docs/architectures.md")
EXACT = 1e-4
_SECONDS = 120
_HEAD = """# Architectures

`make sweep` builds a tiny model of every architecture that transformers {version} can load as a
causal language model, saves three checkpoints of random weights, scores them in one run, and
compares the losses with those of each checkpoint alone: a model of its own, in float64, one window
at a time. *Exact* means that no loss differs by more than 1e-4 nats. The others are refused, or
cannot be built at this size.

{counts}

"""


def main() -> int:
    """Returns 1 if the losses of any architecture are wrong."""
    logging.set_verbosity_error()
    signal.signal(signal.SIGALRM, _too_slow)
    rows = {name: _row(name) for name in sys.argv[1:] or ARCHITECTURES}
    if not sys.argv[1:]:
        PAGE.write_text(_page(rows), encoding="utf-8")
    return int(any(verdict == "wrong" for verdict, _ in rows.values()))


def _row(name: str) -> tuple[str, str]:
    """The verdict on an architecture, and the reason or the largest difference."""
    signal.alarm(_SECONDS)
    try:
        verdict, reason = _verdict(name)
    finally:
        signal.alarm(0)
    print(f"{name}: {verdict}, {reason}", flush=True)
    return verdict, reason


def _verdict(name: str) -> tuple[str, str]:
    try:
        tiny_model(name)
    except Exception as error:  # of any class: the architecture's own checks
        return "not built", _sentence(error)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = compare_with_alone(name, Path(folder))
        except Exception as error:
            return "not compared", _sentence(error)
    return _judged(found)


def _judged(found: Comparison) -> tuple[str, str]:
    if found.error:
        return "refused", found.error.removeprefix("step1 ")
    if found.largest <= EXACT:
        return "exact", f"{found.largest:.0e}"
    if found.in_float64 <= EXACT / 10:
        return "rounded", (
            "exact in float64; its forward amplifies the rounding of float32 to "
            f"{found.largest:.0e} nats"
        )
    return "wrong", f"{found.largest:.0e}"


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:200]


def _too_slow(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"took more than {_SECONDS} seconds")


def _page(rows: dict[str, tuple[str, str]]) -> str:
    from importlib.metadata import version

    verdicts = [verdict for verdict, _ in rows.values()]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(sorted(verdicts)))
    exact = [f"`{n}`" for n, (verdict, _) in rows.items() if verdict == "exact"]
    others = [
        f"| `{name}` | {verdict} | {re.sub(r'[|<>]', ' ', reason)} |"
        for name, (verdict, reason) in rows.items()
        if verdict != "exact"
    ]
    head = _HEAD.format(version=version("transformers"), counts=f"Of {len(rows)}: {counts}.")
    return (
        f"{head}Exact: {', '.join(exact)}.\n\n"
        "| architecture | result | why |\n|---|---|---|\n" + "\n".join(others) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
