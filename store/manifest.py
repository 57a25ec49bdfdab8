"""manifest.json: what a store was made from and how. Read by ingest and by queries."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from store.files import whole_file

FORMAT_VERSION = 1


class ManifestError(Exception):
    """The manifest is missing, unreadable, or of a format that this version does not know."""


@dataclass(frozen=True)
class Manifest:
    """Everything that decides the losses, apart from the weights.

    `options` are the run's options that were recorded, such as `stride`. In the file, they are
    entries like all others.
    """

    model: str
    text: str
    tokenizer: str
    tokenizer_sha256: str
    context_length: int
    bos: str | None
    bos_id: int | None
    dtype: str
    attention: str
    n_docs: int
    n_tokens: int
    token_fingerprint: str
    options: dict[str, Any] = field(default_factory=dict)
    text_commit: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    planned: list[int] | None = None
    """The checkpoints that runs set out to score, increasing. Older stores do not say."""
    recorded: bool = False
    """Did a training loop write the losses, without saved checkpoints?"""
    imported: dict[str, Any] | None = None
    """Of results of another tool: format, unit, dtype, files, notes, and `unknown`, the columns
    of tokens that are NULL, with the reasons. None if Token Trails scored the text."""
    shapes_sha256: str | None = None
    """Of a recorded model: sha256 over its class and the names and shapes of its weights."""
    format_version: int = FORMAT_VERSION

    @property
    def unavailable(self) -> dict[str, str]:
        """What an imported store cannot have, and why: columns of tokens, and "probes"."""
        if self.imported is None:
            return {}
        why = f"the losses were imported ({self.imported['format']}) without the model itself"
        return {**self.imported["unknown"], "probes": why}


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write it atomically."""
    entries: dict[str, Any] = {}
    for name, value in asdict(manifest).items():
        entries |= value if name == "options" else {name: value}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file. Raises ManifestError with a sentence that says what to do."""
    values = _parse(path)
    version = values.get("format_version")
    if not isinstance(version, int):
        raise ManifestError(f"{path} has no format_version: it is not a store's manifest")
    if version > FORMAT_VERSION:
        raise ManifestError(
            f"{path.parent} is a store of format {version}; this version of Token Trails reads "
            f"up to {FORMAT_VERSION}: update Token Trails to open it"
        )
    known = {f.name for f in fields(Manifest)} - {"options"}
    options = {k: v for k, v in values.items() if k not in known}
    try:
        manifest = Manifest(**{k: v for k, v in values.items() if k in known}, options=options)
    except TypeError as error:
        raise ManifestError(f"{path} is incomplete ({error}): score the text again") from error
    for name in ("context_length", "n_docs", "n_tokens"):
        if not isinstance(value := getattr(manifest, name), int):
            raise ManifestError(
                f"{path} has {value!r} for {name}, expected an integer: restore the file"
            )
    return manifest


def _parse(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(_not_a_store(path)) from error
    except (OSError, ValueError) as error:
        raise ManifestError(
            f"{path} cannot be read as JSON ({error}): restore it or score again"
        ) from error
    if not isinstance(values, dict):
        raise ManifestError(f"{path} holds no JSON object: it is not a store's manifest")
    return values


def _not_a_store(path: Path) -> str:
    folder = path.parent
    found = "has no manifest.json" if folder.is_dir() else "does not exist"
    return (
        f"{folder} {found}: a store is a folder made by "
        "`python -m ingest run SOURCE --text TEXT --store DIR`"
    )
