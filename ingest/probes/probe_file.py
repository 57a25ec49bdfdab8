"""probes.parquet: what probes found, checkpoint by checkpoint, each bound to the weights it saw."""

from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm
from transformers import PreTrainedModel

from ingest.errors import CheckpointError, IngestError, first_line
from ingest.model.resident_model import Standing
from ingest.output.locks import alone
from ingest.output.writer import Outcome, read_table
from ingest.prepare import Options
from ingest.probes.prefix_matching import Probe, gives_attentions, probe
from ingest.probes.repeats import Repeats
from ingest.sources.checkpoints import Checkpoint
from ingest.sources.folder import Source
from ingest.sources.prefetch import Arrival, arriving
from store import schema
from store.files import whole_file
from store.layout import Layout


class ProbeFile:
    """The probes of a store, written anew after each checkpoint, in order, whole or not at all;
    several shards of one store may each add theirs.

    A checkpoint's probes name the sha256 of its weights, as its loss file does: what was made from
    other weights than the losses, or on other sequences, counts as missing.
    """

    def __init__(self, layout: Layout, repeats: Repeats) -> None:
        self._layout = layout
        self._repeats = repeats
        self._facts = repeats.facts
        self._found: dict[int, list[dict[str, Any]]] = {}
        self.unprobed: dict[int, str] = {}
        """Checkpoints that could not be probed in this run, and why."""
        self.without_attention = False
        """Was there a model in this run that gives no attention weights?"""
        self._read()

    def lacks(self, checkpoint: int, weights_sha256: str | None) -> bool:
        """Are there no probes of this checkpoint with these weights?"""
        rows = self._found.get(checkpoint)
        return not rows or rows[0]["weights_sha256"] != weights_sha256

    def take(self, checkpoint: int, weights_sha256: str, model: PreTrainedModel) -> None:
        """Probe a checkpoint's model and write it down; a failure goes to `unprobed`.

        Its losses stand by themselves, and the next run with --probes tries it again.
        """
        try:
            self.add(checkpoint, weights_sha256, probe(model, self._repeats))
        except (CheckpointError, RuntimeError, IndexError, MemoryError) as error:
            self.unprobed[checkpoint] = f"its model cannot be probed: {first_line(error)}"

    def add(self, checkpoint: int, weights_sha256: str, found: list[Probe]) -> None:
        """Put down a checkpoint's probes, for whatever was known of it, and write the file."""
        self.without_attention |= not gives_attentions(found)
        with alone(self._layout):
            self._read()
            self._found[checkpoint] = [
                {"checkpoint": checkpoint, **vars(p), "weights_sha256": weights_sha256}
                for p in found
            ]
            self._write()

    def _write(self) -> None:
        rows = [row for number in sorted(self._found) for row in self._found[number]]
        table = pa.Table.from_pylist(rows, schema.PROBES.with_metadata(self._facts))
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
                "with --probes; it is made anew"
            )
        metadata = table.schema.metadata or {}
        if any(metadata.get(k.encode()) != v.encode() for k, v in self._facts.items()):
            return  # made on other sequences: all is made anew
        for number, rows in groupby(table.to_pylist(), itemgetter("checkpoint")):
            self._found[number] = list(rows)


# Probe what was scored before anybody asked for probes; nothing is scored again.


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
