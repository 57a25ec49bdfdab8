"""Stores at fsspec URLs, such as `s3://bucket/run`: a local copy, updated when a store is opened.

The index needs all of a store, so the store is downloaded once, file by file, each completely or
not at all; a file is downloaded again if the remote one has changed. The copy is in the user's
cache, or in the folder named by TOKEN_TRAILS_CACHE.
"""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import fsspec

from queries.errors import StoreError
from store.files import whole_file
from store.layout import Layout

Progress = Callable[[int, int], None]
_DOWNLOADS = 8
_NOTE = "copied.json"
_FOLDERS = {
    *(("losses", ".parquet"), ("predictions", ".parquet")),
    *(("groups", ".sql"), ("features", ".parquet")),
}


def is_url(path: str | Path) -> bool:
    """Whether this is a URL such as `s3://…`."""
    return "://" in str(path)


def local_copy(url: str, progress: Progress | None = None) -> Path:
    """The folder of a store's copy, updated from `url`.

    `progress` is called with (bytes downloaded, bytes to download). Raises StoreError if the URL
    cannot be read or is not a store; files that were downloaded before stay.
    """
    try:
        return _updated(url, progress or (lambda done, total: None))
    except (OSError, ValueError, ImportError) as error:
        raise StoreError(f"{url} cannot be read: {error}") from error
    except StoreError:
        raise
    except Exception as error:  # each service has its own exceptions
        raise StoreError(f"{url} cannot be read: {type(error).__name__}: {error}") from error


def listing(url: str) -> dict[str, str]:
    """Path below the store -> a key that changes with the file; to detect new files."""
    try:
        system, root = fsspec.core.url_to_fs(url)
        return {name: key for name, (key, _) in _remote_files(system, root).items()}
    except Exception as error:  # each service has its own exceptions
        raise StoreError(f"{url} cannot be read: {error}") from error


def _updated(url: str, progress: Progress) -> Path:
    system, root = fsspec.core.url_to_fs(url)
    folder = _cache() / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
    remote = _remote_files(system, root)
    if "manifest.json" not in remote:
        raise StoreError(f"{url} has no manifest.json: expected the URL of a store's folder")
    note = folder / _NOTE
    copied: dict[str, str] = json.loads(note.read_text()) if note.exists() else {}
    for name in copied.keys() - remote.keys():
        (folder / name).unlink(missing_ok=True)
    stale = {
        name: size
        for name, (key, size) in remote.items()
        if copied.get(name) != key or not (folder / name).exists()
    }
    _fetch(system, root, folder, stale, progress)
    with whole_file(note) as temporary:
        temporary.write_text(json.dumps({name: key for name, (key, _) in remote.items()}))
    return folder


def _remote_files(system: Any, root: str) -> dict[str, tuple[str, int]]:
    """Key and size in bytes of each file that belongs to a store."""
    found = system.find(root, detail=True)
    names = {path[len(root.rstrip("/")) + 1 :]: path for path in found}
    return {
        name: (str(system.ukey(path)), int(found[path]["size"] or 0))
        for name, path in names.items()
        if _belongs(name)
    }


def _belongs(name: str) -> bool:
    layout = Layout(Path())
    files = (layout.manifest, layout.checkpoints, layout.docs, layout.tokens, layout.probes)
    folder, _, file = name.rpartition("/")
    in_folder = (folder, Path(file).suffix) in _FOLDERS
    return Path(name) in files or (in_folder and not file.startswith("."))


def _fetch(system: Any, root: str, folder: Path, sizes: dict[str, int], progress: Progress) -> None:
    def fetch(name: str) -> str:
        with whole_file(folder / name) as temporary:
            system.get_file(f"{root.rstrip('/')}/{name}", str(temporary))
        return name

    done, total = 0, sum(sizes.values())
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        try:
            for future in as_completed([pool.submit(fetch, name) for name in sizes]):
                done += sizes[future.result()]
                progress(done, total)
        finally:
            pool.shutdown(cancel_futures=True)


def _cache() -> Path:
    named = os.environ.get("TOKEN_TRAILS_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "token-trails"


def is_store(path: str | Path) -> bool:
    """Whether this folder is a store, or the beginning of one."""
    return Layout(Path(path)).manifest.exists()
