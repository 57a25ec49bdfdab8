"""What a run says of itself at its end."""

import sys
from pathlib import Path

from ingest.probe_file import ProbeFile
from ingest.run import Report
from store.layout import Layout


def tell(store: str | Path, report: Report) -> int:
    """Print it; returns the exit status."""
    scored = len(report.tried) - len(report.failed)
    print(
        f"{store}: {scored} checkpoints scored on {report.n_tokens:,} tokens, "
        f"{report.skipped} were there already, {len(report.failed)} failed"
    )
    for number, same in report.duplicates.items():
        print(f"odd: checkpoint {number} {same}", file=sys.stderr)
    for moved in report.moved:
        print(
            f"odd: {moved.revision} is at another commit now than it was scored at: to score it "
            f"again, delete {Layout(Path()).loss_file(moved.checkpoint)} from the store",
            file=sys.stderr,
        )
    for outcome in report.failed:
        print(f"failed: {outcome.error}", file=sys.stderr)
    unprobed = _unprobed(report.probes)
    return 1 if report.failed or unprobed else 0


def _unprobed(probes: ProbeFile | None) -> int:
    """Say what is odd about the probes; how many checkpoints have none."""
    if probes is None:
        return 0
    if probes.without_attention:
        print(
            "note: the model gives no attention weights: it has the losses on repeats, and no "
            "prefix-matching scores (NULL)",
            file=sys.stderr,
        )
    for number, reason in probes.unprobed.items():
        print(f"not probed: checkpoint {number}: {reason}", file=sys.stderr)
    return len(probes.unprobed)
