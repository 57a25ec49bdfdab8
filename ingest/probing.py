"""Probe what was scored before anybody asked for probes; nothing is scored again."""

from tqdm import tqdm

from ingest.checkpoints import Checkpoint
from ingest.errors import CheckpointError
from ingest.prefetch import arriving
from ingest.prepare import Options
from ingest.probe_file import ProbeFile
from ingest.reading import Arrival
from ingest.sources import Source
from ingest.standing import Standing
from ingest.writer import Outcome


def probe_scored(
    probes: ProbeFile,
    checkpoints: list[Checkpoint],
    known: dict[int, Outcome],
    source: Source,
    options: Options,
    device: str,
) -> None:
    """Probe each checkpoint that has losses and no probes yet; what fails goes to `unprobed`."""
    todo = [c for c in checkpoints if _lacks(probes, known.get(c.checkpoint))]
    standing = Standing(options.dtype, device, options.attention)
    for arrival in tqdm(
        arriving(source, todo, options.prefetch), "probing", len(todo), disable=not todo
    ):
        number = arrival.checkpoint.checkpoint
        try:
            sha256 = _same_weights(arrival, known[number])
            model = standing.put(arrival)
        except CheckpointError as error:
            probes.unprobed[number] = str(error)
            continue
        probes.take(number, sha256, model)


def _lacks(probes: ProbeFile, outcome: Outcome | None) -> bool:
    if outcome is None or outcome.error:
        return False
    number = outcome.checkpoint.checkpoint
    return number not in probes.unprobed and probes.lacks(number, outcome.weights_sha256)


def _same_weights(arrival: Arrival, outcome: Outcome) -> str:
    """The sha256 of the weights. Raises CheckpointError if others were scored."""
    if arrival.problem:
        raise arrival.problem
    if not arrival.weights_sha256 or arrival.weights_sha256 != outcome.weights_sha256:
        raise CheckpointError(
            f"{arrival.checkpoint.revision} has other weights now than when it was scored: restore "
            "them, or delete its loss file and run again"
        )
    return arrival.weights_sha256
