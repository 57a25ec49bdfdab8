"""Probe what was scored before anybody asked for probes; nothing is scored again."""

from tqdm import tqdm

from ingest import models
from ingest.checkpoints import Checkpoint, weights_sha256
from ingest.errors import CheckpointError
from ingest.prefetch import arriving
from ingest.prepare import Options
from ingest.probe_file import ProbeFile
from ingest.sources import Source
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
    for checkpoint, problem in tqdm(
        arriving(source, todo, options.prefetch), "probing", len(todo), disable=not todo
    ):
        try:
            if problem:
                raise problem
            sha256 = _same_weights(checkpoint, known[checkpoint.checkpoint])
            model = models.load_model(checkpoint, options.dtype, device)
        except CheckpointError as error:
            probes.unprobed[checkpoint.checkpoint] = str(error)
            continue
        probes.take(checkpoint.checkpoint, sha256, model)


def _lacks(probes: ProbeFile, outcome: Outcome | None) -> bool:
    if outcome is None or outcome.error:
        return False
    number = outcome.checkpoint.checkpoint
    return number not in probes.unprobed and probes.lacks(number, outcome.weights_sha256)


def _same_weights(checkpoint: Checkpoint, outcome: Outcome) -> str:
    """The sha256 of the weights. Raises CheckpointError if others were scored."""
    sha256 = checkpoint.weights_sha256 or weights_sha256(checkpoint.path)
    if sha256 != outcome.weights_sha256:
        raise CheckpointError(
            f"{checkpoint.revision} has other weights now than when it was scored: restore them, "
            "or delete its loss file and run again"
        )
    return sha256
