"""Stores at fsspec URLs, such as `s3://bucket/run`: written in a folder here, sent file by file.

An object store has no half-written objects, so each file is whole or absent there, too. What is
there already is seen by listing; of its loss files only the footers are read, unless
checkpoints.parquet does not tell of them. Machines cannot lock each other out at a URL: give each
its --shard.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import fsspec
import pyarrow.parquet as pq

from ingest.errors import IngestError, first_line
from ingest.output.locks import held
from ingest.output.writer import read_table
from ingest.sources.checkpoints import Shard
from store.layout import Layout

_AT_ONCE = 8  # requests


class Mirror(Protocol):
    """What is to be done about the place where a store is meant to stand."""

    def fetch(self) -> None:
        """Take over what others have written there."""

    def fetch_outcomes(self) -> None:
        """The same, of checkpoints.parquet alone."""

    def send(self, files: Iterable[Path]) -> None:
        """These have become whole, in this order."""


class _Here:
    """The store's own folder: nothing to be done."""

    def fetch(self) -> None:
        """Others write into the same folder."""

    def fetch_outcomes(self) -> None:
        """Others write into the same folder."""

    def send(self, files: Iterable[Path]) -> None:
        """They are where they should be."""


def is_url(store: str | Path) -> bool:
    """Does this name a store elsewhere, as `s3://…` does?"""
    return "://" in str(store)


def below(store: str | Path, name: str) -> str | Path:
    """A store of that name in a folder of stores."""
    return f"{str(store).rstrip('/')}/{name}" if is_url(store) else Path(store) / name


def key(store: str | Path) -> Path:
    """An absolute path that stands for the store, wherever it is."""
    return Path("/") / str(store) if is_url(store) else Path(store)


@contextmanager
def standing_at(store: str | Path, shard: Shard | None) -> Iterator[tuple[Layout, Mirror]]:
    """The folder in which the store is written, and what keeps the place itself up to date.

    Raises IngestError where a URL cannot be read or written, and where a run of this machine is
    writing there.
    """
    if not is_url(store):
        yield Layout(Path(store)), _Here()
        return
    name = hashlib.sha256(f"{store} {shard}".encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"token-trails-{name}"
    taken = IngestError(f"another ingest is writing {store}: wait for it or stop it")
    with held(folder.with_suffix(".lock"), taken):
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        try:
            layout = Layout(folder)
            yield layout, _Elsewhere(str(store), layout)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _Elsewhere:
    """A store at a URL, all of which but the losses is in the folder, too."""

    def __init__(self, url: str, layout: Layout) -> None:
        self._url, self._layout = url.rstrip("/"), layout
        with self._telling("read"):
            self._system, self._root = fsspec.core.url_to_fs(self._url)
            there = self._listed()
        # Without a manifest, what is there is of a run that did not come so far: it is made anew.
        self._made = "manifest.json" in there
        if not self._made and any(name.startswith("losses/") for name in there):
            raise IngestError(
                f"{url} has loss files but no manifest.json: it is damaged; restore the manifest "
                "or name another --store"
            )
        self.fetch()

    def fetch(self) -> None:
        with self._telling("read"):
            self._there = self._listed() if self._made else set()
            layout = self._layout
            for path in (layout.manifest, layout.docs, layout.tokens, layout.probes):
                if self._name(path) in self._there and not path.exists():
                    self._get(self._name(path))
            self.fetch_outcomes()
            recorded = self._recorded()
            losses = sorted(n for n in self._there if n.startswith("losses/"))
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda name: self._stand_in(name, recorded), losses))

    def fetch_outcomes(self) -> None:
        name = self._name(self._layout.checkpoints)
        with self._telling("read"):
            if self._made and self._system.exists(f"{self._root}/{name}"):
                self._get(name)

    def send(self, files: Iterable[Path]) -> None:
        unchanging = (self._layout.docs, self._layout.tokens, self._layout.manifest)
        with self._telling("written"):
            for path in files:
                name = self._name(path)
                if path in unchanging and self._made and name in self._there:
                    continue
                self._system.put_file(str(path), f"{self._root}/{name}")
                self._there.add(name)
                if path.parent == self._layout.losses:
                    _empty(path, path)
            self._made = True

    def _listed(self) -> set[str]:
        """Names below the root."""
        self._system.invalidate_cache()
        if not self._system.exists(self._root):
            return set()
        return {path[len(self._root) + 1 :] for path in self._system.find(self._root)}

    def _recorded(self) -> set[str]:
        """Loss files of which checkpoints.parquet tells all."""
        if not self._layout.checkpoints.exists():
            return set()
        rows = read_table(self._layout.checkpoints).to_pylist()
        done = (self._layout.loss_file(r["checkpoint"]) for r in rows if not r["error"])
        return {self._name(path) for path in done}

    def _stand_in(self, name: str, recorded: set[str]) -> None:
        """The file's schema with what it says, and no rows; or all, where that must be read."""
        path = self._layout.root / name
        if path.exists():
            return
        if name not in recorded:
            self._get(name)
            return
        with self._system.open(f"{self._root}/{name}", block_size=2**16) as remote:
            _empty(remote, path)

    def _get(self, name: str) -> None:
        path = self._layout.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._system.get_file(f"{self._root}/{name}", str(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._layout.root).as_posix()

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except IngestError:
            raise
        except Exception as error:  # each service has exceptions of its own
            raise IngestError(
                f"{self._url} cannot be {what} ({type(error).__name__}: {first_line(error)}): "
                "mend that and run the same command again"
            ) from error


def _empty(file: Any, path: Path) -> None:
    """Write a Parquet file's schema, with its metadata, and none of its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pq.read_schema(file)
    pq.write_table(schema.empty_table(), path)
