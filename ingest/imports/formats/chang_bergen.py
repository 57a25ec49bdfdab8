"""lm-learning-curves (Chang, Tu and Bergen 2023): `surprisals_tokens_0-1270000.npy`, and so on.

Each file has some tokens x all checkpoints, in bits. --tokens is their file of sequences: a line of
token ids per sequence, the first of which has no surprisal.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ingest.errors import IngestError
from ingest.imports.formats.matrix import load
from ingest.imports.results import Column, Format, ImportOptions, Preview, Results
from ingest.imports.token_table import read_tokens

_FILE = re.compile(r"surprisals_tokens_(\d+)-(\d+)\.npy")


def recognise(found: Preview) -> str | None:
    """The names of the files."""
    if not all(_FILE.fullmatch(p.name) for p in found.files):
        return None
    return f"files named like {found.files[0].name}"


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with columns, of all files side by side."""
    parts = sorted(found.files, key=_start)
    _refuse_gaps(parts)
    arrays = [load(path, None)[""] for path in parts]
    n = {array.shape[1] if array.ndim == 2 else 1 for array in arrays}
    if len(n) > 1 or len(options.checkpoints) not in n:
        raise IngestError(
            f"{parts[0]} has {min(n)} columns: give the steps of its checkpoints with "
            "--checkpoints 0,100,…"
        )
    if options.tokens is None:
        raise IngestError(
            "the surprisals are published without tokens: name their file of sequences (a line of "
            "token ids each) with --tokens"
        )
    n_tokens = sum(len(array) for array in arrays)
    return Results(
        options.unit or "bits",
        str(arrays[0].dtype),
        tokens=read_tokens(options.tokens, options.columns, {n_tokens}),
        columns=lambda: _columns(parts, arrays, options.checkpoints),
        n_losses=n_tokens * len(options.checkpoints),
    )


def _columns(
    parts: list[Path], arrays: list[np.ndarray], checkpoints: tuple[int, ...]
) -> Iterator[Column]:
    for at, checkpoint in enumerate(checkpoints):
        losses = np.concatenate([a.reshape(len(a), -1)[:, at] for a in arrays])
        yield Column(checkpoint, str(parts[0]), losses)


def _start(path: Path) -> int:
    match = _FILE.fullmatch(path.name)
    assert match
    return int(match[1])


def _refuse_gaps(parts: list[Path]) -> None:
    ends = [0]
    for path in parts:
        match = _FILE.fullmatch(path.name)
        assert match
        if int(match[1]) != ends[-1]:
            raise IngestError(
                f"{path} begins at token {match[1]}, expected {ends[-1]}: a file is missing"
            )
        ends.append(int(match[2]))


FORMAT = Format(
    "chang-bergen",
    "lm-learning-curves (Chang, Tu and Bergen): surprisals_tokens_*.npy, in bits",
    recognise,
    read,
)
