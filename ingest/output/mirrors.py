"""Stores at fsspec URLs, such as `s3://bucket/run`: written in a local folder, sent file by file.

An object store has no half-written objects, so each file is whole or absent there, too. Existing
files are found by listing. Only the footers of loss files are read, unless checkpoints.parquet does
not cover them. Machines cannot lock each other out at a URL, so each must get its own --shard.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError, first_line
from ingest.output.locks import file_lock
from ingest.output.tables import read_table
from ingest.sources.selection import Shard
from store import schema
from store.layout import Layout

_REQUESTS_AT_ONCE = 8


class Mirror(Protocol):
    """Keeps the place that the user named up to date with the folder in which a run writes."""

    def fetch(self) -> None:
        """Get what other runs have written there."""

    def fetch_outcomes(self) -> None:
        """Get checkpoints.parquet only."""

    def send(self, files: Iterable[Path]) -> None:
        """Send these files, which are complete, in this order."""


class _NoMirror:
    """The store is the folder itself, so there is nothing to copy."""

    def fetch(self) -> None:
        """Does nothing."""

    def fetch_outcomes(self) -> None:
        """Does nothing."""

    def send(self, files: Iterable[Path]) -> None:
        """Does nothing."""


def is_url(store: str | Path) -> bool:
    """Is the store at a URL, such as `s3://…`?"""
    return "://" in str(store)


def child_store(store: str | Path, name: str) -> str | Path:
    """The store of that name in a folder of stores."""
    return f"{str(store).rstrip('/')}/{name}" if is_url(store) else Path(store) / name


def store_key(store: str | Path) -> Path:
    """An absolute path that identifies the store, wherever it is."""
    return Path("/") / str(store) if is_url(store) else Path(store)


@contextmanager
def local_store(store: str | Path, shard: Shard | None) -> Iterator[tuple[Layout, Mirror]]:
    """The folder in which the store is written, and its mirror at the place that was named.

    For a URL, that is a temporary folder. Raises IngestError if the URL cannot be read or written,
    or if another run on this machine is writing there.
    """
    if not is_url(store):
        yield Layout(Path(store)), _NoMirror()
        return
    name = hashlib.sha256(f"{store} {shard} {os.getuid()}".encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"token-trails-{name}"
    taken = IngestError(f"another ingest is writing {store}: wait for it or stop it")
    with file_lock(folder.with_suffix(".lock"), taken):
        shutil.rmtree(folder, ignore_errors=True)  # left behind by a killed run
        try:
            layout = Layout(folder)
            yield layout, _UrlMirror(str(store), layout)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _UrlMirror:
    """A store at a URL. The folder holds all of it except losses and predictions."""

    def __init__(self, url: str, layout: Layout) -> None:
        self._url, self._layout = url.rstrip("/"), layout
        with self._errors_explained("read"):
            self._system, self._root = fsspec.core.url_to_fs(self._url)
            remote = self._list()
        # Without a manifest, the files are those of a run that was killed early: replace them.
        self._exists = "manifest.json" in remote
        if not self._exists and any(name.startswith("losses/") for name in remote):
            raise IngestError(
                f"{url} has loss files but no manifest.json: it is damaged; restore the manifest "
                "or name another --store"
            )
        self.fetch()
        manifest = self._layout.manifest
        self._manifest = manifest.read_bytes() if manifest.exists() else b""
        """As it is at the URL; a resumed run may add planned checkpoints."""

    def fetch(self) -> None:
        with self._errors_explained("read"):
            self._remote = self._list() if self._exists else set()
            layout = self._layout
            for path in (layout.manifest, layout.docs, layout.tokens, layout.probes):
                if self._name(path) in self._remote and not path.exists():
                    self._get(self._name(path))
            self.fetch_outcomes()
            recorded = self._recorded()
            losses = sorted(n for n in self._remote if n.startswith("losses/"))
            with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
                list(pool.map(lambda name: self._get_losses(name, recorded), losses))
            for name in sorted(n for n in self._remote if n.startswith("predictions/")):
                _write_empty(self._layout.root / name, schema.PREDICTIONS)

    def fetch_outcomes(self) -> None:
        name = self._name(self._layout.checkpoints)
        with self._errors_explained("read"):
            if self._exists and self._system.exists(f"{self._root}/{name}"):
                self._get(name)

    def send(self, files: Iterable[Path]) -> None:
        unchanging = [self._layout.docs, self._layout.tokens]
        if self._layout.manifest.read_bytes() == self._manifest:
            unchanging.append(self._layout.manifest)
        with self._errors_explained("written"):
            for path in files:
                name = self._name(path)
                if path in unchanging and self._exists and name in self._remote:
                    continue
                self._system.put_file(str(path), f"{self._root}/{name}")
                self._remote.add(name)
                if path.parent in (self._layout.losses, self._layout.predictions):
                    _write_placeholder(path, path)
            self._exists = True
            self._manifest = self._layout.manifest.read_bytes()

    def _list(self) -> set[str]:
        """Names of all files below the root."""
        self._system.invalidate_cache()
        if not self._system.exists(self._root):
            return set()
        return {path[len(self._root) + 1 :] for path in self._system.find(self._root)}

    def _recorded(self) -> set[str]:
        """Names of the loss files that checkpoints.parquet covers."""
        if not self._layout.checkpoints.exists():
            return set()
        rows = read_table(self._layout.checkpoints).to_pylist()
        done = (self._layout.loss_file(r["checkpoint"]) for r in rows if not r["error"])
        return {self._name(path) for path in done}

    def _get_losses(self, name: str, recorded: set[str]) -> None:
        """A placeholder for the loss file; or the file, if its losses are not recorded yet."""
        path = self._layout.root / name
        if path.exists():
            return
        if name not in recorded:
            self._get(name)
            return
        with self._system.open(f"{self._root}/{name}", block_size=2**16) as remote:
            _write_placeholder(remote, path)

    def _get(self, name: str) -> None:
        path = self._layout.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._system.get_file(f"{self._root}/{name}", str(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._layout.root).as_posix()

    @contextmanager
    def _errors_explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except IngestError:
            raise
        except Exception as error:  # each service raises exceptions of its own
            raise IngestError(
                f"{self._url} cannot be {what} ({type(error).__name__}: {first_line(error)}): "
                "fix this and rerun the same command"
            ) from error


def _write_placeholder(file: Any, path: Path) -> None:
    """Write a Parquet file with the schema and metadata of `file`, and without rows."""
    _write_empty(path, pq.read_schema(file))


def _write_empty(path: Path, columns: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns.empty_table(), path)
