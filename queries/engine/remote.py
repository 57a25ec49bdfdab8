"""Stores at URLs, such as `hf://datasets/OWNER/NAME`, `s3://bucket/run` or `https://…/run`.

A local copy is updated when a store is opened, file by file, each completely or not at all; a file
is downloaded again if the remote one has changed. What most questions need first (manifest, text,
checkpoints, groups, features) is there when a store is open. Losses and predictions, which are
nearly all of the bytes, follow in the background: whoever asks for them waits. The copy is in the
user's cache, or in the folder named by TOKEN_TRAILS_CACHE.
"""

import hashlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from queries.errors import StoreError
from store import schema
from store.files import whole_file
from store.layout import Layout
from store.network import is_unresolved

Progress = Callable[[int, int], None]
DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds between attempts at a file that fails for a passing reason."""
_LONGEST_WAIT = 600.0
_FINAL = (FileNotFoundError, PermissionError, NotADirectoryError, ImportError)
_DOWNLOADS = 8
_NOTE = "copied.json"
_NOTE_EVERY = 16  # files
_LATER = {"losses": schema.LOSSES, "predictions": schema.PREDICTIONS}
"""Folders whose files follow in the background."""
_FOLDERS = {
    *((folder, ".parquet") for folder in _LATER),
    *(("groups", ".sql"), ("features", ".parquet")),
}
_Result = TypeVar("_Result")


def is_url(path: str | Path) -> bool:
    """Whether this is a URL such as `s3://…`."""
    return "://" in str(path)


def is_store(path: str | Path) -> bool:
    """Whether this folder is a store, or the beginning of one."""
    return Layout(Path(path)).manifest.exists()


def listing(url: str) -> dict[str, str]:
    """Path below the store -> a key that changes with the file; to detect new files."""
    try:
        system, root = fsspec.core.url_to_fs(url)
        return {name: key for name, (key, _) in _remote_files(system, root).items()}
    except Exception as error:  # each service has its own exceptions
        raise _unreadable(url, error) from error


class RemoteCopy:
    """The local copy of a store at a URL: its text at once, its losses in the background.

    `progress` is called with (bytes downloaded, bytes to download). Raises StoreError if the URL
    cannot be read or is not a store; files that were downloaded before stay.
    """

    def __init__(self, url: str, progress: Progress | None = None) -> None:
        self.url = url
        try:
            self._system, self._root = fsspec.core.url_to_fs(url)
            self._remote = _patiently(lambda: _remote_files(self._system, self._root))
            self._begin(progress or (lambda done, total: None))
        except StoreError:
            raise
        except Exception as error:  # each service has its own exceptions
            raise _unreadable(url, error) from error

    @property
    def keys(self) -> dict[str, str]:
        """Path below the store -> a key that changes with the file."""
        return {name: key for name, (key, _) in self._remote.items()}

    @property
    def is_complete(self) -> bool:
        """Whether all losses are there."""
        return self._ended.is_set() and self._error is None

    def wait(self, progress: Progress | None = None) -> None:
        """Wait for the losses. Files that failed are tried again. Raises StoreError."""
        if self._ended.is_set() and self._error is not None:
            self._start()
        while not self._ended.wait(0.1):
            if progress and self._total:  # a web server may not say sizes
                progress(self._done, self._total)
        if progress and self._total:
            progress(self._done, self._total)
        if self._error is not None:
            raise _unreadable(self.url, self._error) from self._error

    def _begin(self, progress: Progress) -> None:
        if "manifest.json" not in self._remote:
            raise StoreError(f"{self.url} has no manifest.json: expected the URL of a store")
        digest = hashlib.sha256(self.url.rstrip("/").encode()).hexdigest()[:16]
        self.folder = _cache() / digest
        note = self.folder / _NOTE
        self._copied: dict[str, str] = json.loads(note.read_text()) if note.exists() else {}
        for name in self._copied.keys() - self._remote.keys():
            (self.folder / name).unlink(missing_ok=True)
            del self._copied[name]
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._changing = threading.Lock()
        stale = self._stale()
        self._fetch_now([name for name in stale if not _is_later(name)], progress)
        self._write_placeholders([name for name in stale if _is_later(name)])
        self._start()

    def _stale(self) -> list[str]:
        return [
            name
            for name, (key, _) in self._remote.items()
            if self._copied.get(name) != key or not (self.folder / name).exists()
        ]

    def _fetch_now(self, names: list[str], progress: Progress) -> None:
        done, total = 0, sum(self._remote[name][1] for name in names)
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            try:
                for future in as_completed([pool.submit(self._fetch, name) for name in names]):
                    done += self._remote[future.result()][1]
                    if total:
                        progress(done, total)
            finally:
                pool.shutdown(cancel_futures=True)

    def _write_placeholders(self, names: list[str]) -> None:
        """Empty files with the right columns, so that DuckDB's views can be made.

        They are not in the note, so the next opening knows that they are not copies.
        """
        for name in names:
            self._copied.pop(name, None)
        self._write_note()
        for name in names:
            path = self.folder / name
            if not path.exists():
                with whole_file(path) as temporary:
                    pq.write_table(_LATER[path.parent.name].empty_table(), temporary)

    def _start(self) -> None:
        """Fetch in the background what is still missing. Threads do not keep the process alive."""
        names = self._stale()
        self._done, self._total = 0, sum(self._remote[name][1] for name in names)
        self._ended.clear()
        self._error = None
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for name in names:
            waiting.put(name)
        self._left = len(names)
        if not names:
            self._ended.set()
        for _ in range(min(_DOWNLOADS, len(names))):
            threading.Thread(
                target=self._work, args=(waiting,), daemon=True, name="download"
            ).start()

    def _work(self, waiting: "queue.SimpleQueue[str]") -> None:
        while self._error is None:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self._fetch(name)
            except Exception as error:  # reported to whoever waits
                self._error = error
                self._ended.set()
                return
            with self._changing:
                self._done += self._remote[name][1]
                self._left -= 1
                if self._left % _NOTE_EVERY == 0:
                    self._write_note()
                if not self._left:
                    self._ended.set()

    def _fetch(self, name: str) -> str:
        def fetch() -> None:
            with whole_file(self.folder / name) as temporary:
                self._system.get_file(_join(self._root, name), str(temporary))

        _patiently(fetch)
        self._copied[name] = self._remote[name][0]
        return name

    def _write_note(self) -> None:
        with whole_file(self.folder / _NOTE) as temporary:
            temporary.write_text(json.dumps(dict(self._copied)))


def _is_later(name: str) -> bool:
    return name.partition("/")[0] in _LATER


def _remote_files(system: Any, root: str) -> dict[str, tuple[str, int]]:
    """Key and size in bytes of each file that belongs to a store."""
    protocols = [system.protocol] if isinstance(system.protocol, str) else system.protocol
    if "https" in protocols:
        return _named_files(system, root)
    system.invalidate_cache()
    found = system.find(root, detail=True)
    names = {path[len(root.rstrip("/")) + 1 :]: path for path in found}
    return {
        name: (_key(system, path, found[path]), int(found[path].get("size") or 0))
        for name, path in names.items()
        if _belongs(name)
    }


def _key(system: Any, path: str, facts: dict[str, Any]) -> str:
    """What a listing says of a file's content; else what the file system makes of it."""
    known = next((facts[k] for k in ("blob_id", "ETag", "etag") if facts.get(k)), None)
    return str(known or system.ukey(path))


def _named_files(system: Any, root: str) -> dict[str, tuple[str, int]]:
    """A web server lists no files, so their names follow from checkpoints.parquet."""
    content = system.cat_file(_join(root, "checkpoints.parquet"))
    rows = pq.read_table(pa.BufferReader(content)).to_pylist()
    layout, digest = Layout(Path()), hashlib.sha256(content).hexdigest()
    files = {}
    for name in ("manifest.json", "checkpoints.parquet", "docs.parquet", "tokens.parquet"):
        facts = system.info(_join(root, name))
        size = int(facts.get("size") or 0)
        files[name] = (str(facts.get("ETag") or f"{size} {digest}"), size)
    for row in rows:
        if not row["error"]:
            name = layout.loss_file(row["checkpoint"]).as_posix()
            files[name] = (f"{row['mean_loss']!r} {row['n_tokens']}", 0)
    return files


def _join(root: str, name: str) -> str:
    return f"{root.rstrip('/')}/{name}"


def _belongs(name: str) -> bool:
    layout = Layout(Path())
    files = (layout.manifest, layout.checkpoints, layout.docs, layout.tokens, layout.probes)
    folder, _, file = name.rpartition("/")
    in_folder = (folder, Path(file).suffix) in _FOLDERS
    return Path(name) in files or (in_folder and not file.startswith("."))


def _patiently(action: Callable[[], _Result]) -> _Result:
    """The action's result, after up to seven attempts. Respects Retry-After."""
    for delay in DELAYS:
        try:
            return action()
        except Exception as error:  # each service has its own exceptions
            if not _may_pass(error):
                raise
            time.sleep(min(max(delay, _retry_after(error)), _LONGEST_WAIT))
    return action()


def _may_pass(error: Exception) -> bool:
    """Resets, time-outs, 429 and 5xx pass; a missing file, a full disk and no network do not."""
    if is_unresolved(error):
        return False
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "status", None)
    if isinstance(status, int):
        return status in (408, 425, 429) or status >= 500
    if isinstance(error, _FINAL) or (isinstance(error, OSError) and error.errno is not None):
        return isinstance(error, ConnectionError | TimeoutError)
    # Each client has exceptions of its own for a broken connection.
    return isinstance(error, OSError) or type(error).__module__ != "builtins"


def _retry_after(error: Exception) -> float:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    wanted = str(headers.get("Retry-After", ""))
    return float(wanted) if wanted.isdigit() else 0.0


def _unreadable(url: str, error: Exception) -> StoreError:
    kind = "" if isinstance(error, OSError | ValueError | ImportError) else type(error).__name__
    offline = ": is this machine connected to the network?" if is_unresolved(error) else ""
    return StoreError(f"{url} cannot be read: {kind}{': ' if kind else ''}{error}{offline}")


def _cache() -> Path:
    named = os.environ.get("TOKEN_TRAILS_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "token-trails"
