"""probes.parquet: the probes of each checkpoint, tied to the sha256 of the weights they saw."""

from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm
from transformers import PreTrainedModel

from ingest.errors import CheckpointError, IngestError, first_line
from ingest.model.resident_model import ResidentModel
from ingest.options import RunOptions
from ingest.output.locks import files_lock
from ingest.output.outcomes import Outcome
from ingest.output.tables import read_table
from ingest.probes.prefix_matching import Probe, gives_attentions, probe
from ingest.probes.repeats import Repeats
from ingest.sources.prefetch import FetchedCheckpoint, fetch_ahead
from ingest.sources.revisions import Checkpoint
from ingest.sources.source import Source
from store import schema
from store.files import whole_file
from store.layout import Layout


class ProbeFile:
    """The probes of a store. The file is rewritten after each checkpoint, whole or not at all, and
    several shards of one store may each add theirs.

    Probes of other weights than those of the losses, or on other sequences, count as missing.
    """

    def __init__(self, layout: Layout, repeats: Repeats) -> None:
        self._layout = layout
        self._repeats = repeats
        self._rows: dict[int, list[dict[str, Any]]] = {}
        self.unprobed: dict[int, str] = {}
        """Checkpoints that could not be probed in this run, and why."""
        self.without_attention = False
        """Did a model in this run give no attention weights?"""
        self._read()

    def lacks(self, checkpoint: int, weights_sha256: str | None) -> bool:
        """Does the file have no probes of this checkpoint with these weights?"""
        rows = self._rows.get(checkpoint)
        return not rows or rows[0]["weights_sha256"] != weights_sha256

    def take(self, checkpoint: int, weights_sha256: str, model: PreTrainedModel) -> None:
        """Probe a checkpoint's model and add the result; a failure goes to `unprobed`.

        The losses do not depend on it, and the next run with --probes tries it again.
        """
        try:
            self.add(checkpoint, weights_sha256, probe(model, self._repeats))
        except OSError:
            raise
        except Exception as error:  # a model's code may raise any class
            self.unprobed[checkpoint] = f"its model cannot be probed: {first_line(error)}"

    def add(self, checkpoint: int, weights_sha256: str, probes: list[Probe]) -> None:
        """Replace a checkpoint's probes and write the file."""
        self.without_attention |= not gives_attentions(probes)
        with files_lock(self._layout):
            self._read()
            self._rows[checkpoint] = [
                {"checkpoint": checkpoint, **vars(p), "weights_sha256": weights_sha256}
                for p in probes
            ]
            self._write()

    def _write(self) -> None:
        rows = [row for number in sorted(self._rows) for row in self._rows[number]]
        table = pa.Table.from_pylist(rows, schema.PROBES.with_metadata(self._repeats.facts))
        with whole_file(self._layout.probes) as temporary:
            pq.write_table(
                table,
                temporary,
                compression="zstd",
                compression_level=9,
                write_page_checksum=True,
                use_dictionary=["probe", "weights_sha256"],
                column_encoding={"value": "BYTE_STREAM_SPLIT"},
            )

    def _read(self) -> None:
        if not self._layout.probes.exists():
            return
        table = read_table(self._layout.probes)
        if not table.schema.equals(schema.PROBES, check_metadata=False):
            raise IngestError(
                f"{self._layout.probes} has other columns than expected: delete it and run again "
                "with --probes, which recreates it"
            )
        metadata = table.schema.metadata or {}
        if any(metadata.get(k.encode()) != v.encode() for k, v in self._repeats.facts.items()):
            return  # probes on other sequences: all are made again
        for number, rows in groupby(table.to_pylist(), itemgetter("checkpoint")):
            self._rows[number] = list(rows)


def probe_scored(
    probes: ProbeFile,
    checkpoints: list[Checkpoint],
    known: dict[int, Outcome],
    source: Source,
    options: RunOptions,
    device: str,
) -> None:
    """Probe each checkpoint that has losses but no probes yet; failures go to `unprobed`.

    Nothing is scored again.
    """
    todo = [c for c in checkpoints if _lacks(probes, known.get(c.checkpoint))]
    resident = ResidentModel(
        options.dtype, device, options.attention, trust_remote_code=options.trust_remote_code
    )
    for fetched in tqdm(
        fetch_ahead(source, todo, options.prefetch), "probing", len(todo), disable=not todo
    ):
        number = fetched.checkpoint.checkpoint
        try:
            sha256 = _same_weights(fetched, known[number])
            model = resident.load(fetched)
        except CheckpointError as error:
            probes.unprobed[number] = str(error)
            continue
        probes.take(number, sha256, model)


def _lacks(probes: ProbeFile, outcome: Outcome | None) -> bool:
    if outcome is None or outcome.error:
        return False
    number = outcome.checkpoint.checkpoint
    return number not in probes.unprobed and probes.lacks(number, outcome.weights_sha256)


def _same_weights(fetched: FetchedCheckpoint, outcome: Outcome) -> str:
    """The sha256 of the weights. Raises CheckpointError if others were scored."""
    if fetched.problem:
        raise fetched.problem
    if not fetched.weights_sha256 or fetched.weights_sha256 != outcome.weights_sha256:
        raise CheckpointError(
            f"{fetched.checkpoint.revision} has other weights now than when it was scored: restore "
            "them, or delete its loss file and run again"
        )
    return fetched.weights_sha256
