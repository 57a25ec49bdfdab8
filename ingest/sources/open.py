"""Open a source by its name: a folder on this machine, else a repository on the Hub.

The Hub's client takes a second to import, so it is imported only for a repository.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.sources.folder import Folder
from ingest.sources.source import Source

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_repository(source: str | Path) -> bool:
    """Is this `owner/name` of a repository on the Hub, and not a folder on this machine?"""
    return bool(_HUB_ID.fullmatch(str(source))) and not Path(source).exists()


def open_source(source: str | Path, store: Path | None, keep_cache: bool = False) -> Source:
    """The source of that name. Downloads for a run into `store` get a folder of their own.

    With `keep_cache`, or without a store, downloads go to the Hub's cache and are kept.
    """
    if not is_repository(source):
        return Folder(Path(source))
    from ingest.sources.hub import Repository, download_folder

    cache = None if keep_cache or store is None else download_folder(store)
    return Repository(str(source), cache)


@contextmanager
def tokenizer_folder(name: str | None) -> Iterator[str | None]:
    """A folder that holds the named tokenizer, which may be downloaded from the Hub."""
    if name is None or not is_repository(name):
        yield name
        return
    from ingest.sources.hub import download_tokenizer

    with download_tokenizer(name) as folder:
        yield str(folder)
