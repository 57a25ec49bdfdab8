"""Publish a store as a data set on the Hub: resumable, private by default.

Files go up in commits of a few at a time, the text first and checkpoints.parquet last. A file that
the Hub has already, by its sha256, is skipped, so that the same command resumes after a kill and
adds new checkpoints later.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from tqdm import tqdm

from ingest.errors import IngestError
from ingest.output.card import write_card
from ingest.output.outcomes import read_outcomes
from ingest.output.tables import read_store_manifest
from ingest.sources.retries import TRANSPORT_ERRORS, is_transient, reason, with_retries
from store.files import leftovers
from store.layout import Layout
from store.manifest import Manifest

_URL = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)")
_FAILURES: tuple[type[Exception], ...] = (
    HfHubHTTPError,
    OSError,
    RuntimeError,
    *TRANSPORT_ERRORS,
)
_FILES, _BYTES = 50, 2**28
"""A commit has at most so many files and bytes, or one file."""


@dataclass(frozen=True)
class Pushed:
    """What was published."""

    url: str
    n_files: int
    n_sent: int
    bytes_sent: int
    is_private: bool

    def __str__(self) -> str:
        who = "private" if self.is_private else "public"
        return (
            f"{self.url}: {self.n_files:,} files, {self.n_sent:,} of them sent "
            f"({self.bytes_sent / 1e6:,.1f} MB); the data set is {who}"
        )


def push(root: Path, url: str, public: bool = False) -> Pushed:
    """Publish the store at `root` at `hf://datasets/OWNER/NAME`.

    A data set that exists keeps its visibility. Raises IngestError for a folder that is no store,
    for a data set that holds another store, and if the Hub refuses.
    """
    match = _URL.fullmatch(url.rstrip("/"))
    if not match:
        raise IngestError(f"{url} is no place on the Hub: expected hf://datasets/OWNER/NAME")
    layout, repo = Layout(root), match[1]
    manifest = read_store_manifest(layout)
    if not layout.scored():
        raise IngestError(f"{root} has no scored checkpoint yet: nothing to publish")
    api = HfApi()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = list(read_outcomes(layout).values())
        card = write_card(Path(folder), layout, manifest, outcomes, f"hf://datasets/{repo}")
        files = {p.relative_to(folder).as_posix(): p for p in card} | _store_files(layout)
        try:
            return _push(api, repo, manifest, files, public)
        except _FAILURES as error:
            raise _explained(error, repo) from error


def _store_files(layout: Layout) -> dict[str, Path]:
    """Name -> file, in the order in which they are sent. Generated files are left out."""
    named = [layout.manifest, layout.docs, layout.tokens, layout.probes]
    many = [
        *sorted(layout.groups.glob("*.sql")),
        *sorted(layout.features.glob("*.parquet")),
        *sorted((layout.root / "ablations").glob("*.parquet")),
        *layout.predicted().values(),
        *layout.scored().values(),
    ]
    half = {*leftovers(layout.losses)}
    found = [p for p in (*named, *many, layout.checkpoints) if p.exists() and p not in half]
    return {p.relative_to(layout.root).as_posix(): p for p in found}


def _push(
    api: HfApi, repo: str, manifest: Manifest, files: dict[str, Path], public: bool
) -> Pushed:
    with_retries(
        lambda: api.create_repo(repo, repo_type="dataset", private=not public, exist_ok=True)
    )
    there = with_retries(lambda: _remote_files(api, repo))
    _refuse_other(api, repo, manifest, there)
    missing = {n: p for n, p in files.items() if there.get(n) not in (_sha256(p), _blob(p))}
    size = sum(path.stat().st_size for path in missing.values())
    with tqdm(total=size, unit="B", unit_scale=True, disable=not size) as bar, _quiet():
        for part in _parts(missing):
            _commit(api, repo, part)
            bar.update(sum(path.stat().st_size for path in part.values()))
    is_private = bool(with_retries(lambda: api.dataset_info(repo)).private)
    return Pushed(f"hf://datasets/{repo}", len(files), len(missing), size, is_private)


def _remote_files(api: HfApi, repo: str) -> dict[str, str]:
    """Name -> sha256 of a large file, or git's sha1 of another one."""
    tree = api.list_repo_tree(repo, repo_type="dataset", recursive=True)
    return {f.path: f.lfs.sha256 if f.lfs else f.blob_id for f in tree if isinstance(f, RepoFile)}


def _refuse_other(api: HfApi, repo: str, manifest: Manifest, there: dict[str, str]) -> None:
    """A data set must be empty, or hold this store."""
    if "manifest.json" not in there:
        return
    path = with_retries(lambda: api.hf_hub_download(repo, "manifest.json", repo_type="dataset"))
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    for name in ("token_fingerprint", "model"):
        if found.get(name) != getattr(manifest, name):
            raise IngestError(
                f"hf://datasets/{repo} holds another store ({name} {str(found.get(name))[:40]}, "
                f"this one's is {str(getattr(manifest, name))[:40]}): name another data set"
            )


def _parts(files: dict[str, Path]) -> Iterator[dict[str, Path]]:
    part: dict[str, Path] = {}
    size = 0
    for name, path in files.items():
        more = path.stat().st_size
        if part and (len(part) == _FILES or size + more > _BYTES or name == "checkpoints.parquet"):
            yield part
            part, size = {}, 0
        part[name] = path
        size += more
    if part:
        yield part


def _commit(api: HfApi, repo: str, files: dict[str, Path]) -> None:
    """One commit. Repeating it is harmless: files that are there already are left out."""
    names = list(files)
    message = f"Add {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")

    def commit() -> None:
        # New ones for each attempt, as an operation can be used once.
        operations = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
        try:
            api.create_commit(repo, operations, commit_message=message, repo_type="dataset")
        except RuntimeError as error:  # around the error of one upload
            if error.__cause__ is not None and is_transient(error.__cause__):
                raise error.__cause__ from error
            raise

    with_retries(commit)


@contextmanager
def _quiet() -> Iterator[None]:
    """The client's own bars, one per file, are off meanwhile."""
    were_on = not are_progress_bars_disabled()
    if were_on:
        disable_progress_bars()
    try:
        yield
    finally:
        if were_on:
            enable_progress_bars()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blob(path: Path) -> str:
    """git's name of a file that is small enough to be in the repository itself."""
    content = path.read_bytes() if path.stat().st_size < 10_000_000 else b""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _explained(error: Exception, repo: str) -> IngestError:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status in (401, 403) or isinstance(error, RepositoryNotFoundError):
        advice = "log in with `hf auth login`, with a token that may write there"
    else:
        advice = "rerun the same command, which sends what is missing"
    return IngestError(f"hf://datasets/{repo} cannot be written ({reason(error)}): {advice}")
