"""A repository on the Hugging Face Hub as a source: revisions, weights, verified downloads."""

import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import disable_progress_bars

from ingest.errors import CheckpointError, IngestError
from ingest.sources.checkpoint_files import (
    AUDITED_FILES,
    CONFIG_FILES,
    MORE_TOKENIZER_FILES,
    TOKENIZER_FILES,
    WEIGHT_INDEXES,
    file_sha256,
    joint_sha256,
    weight_names,
)
from ingest.sources.other_layouts import without_weights
from ingest.sources.retries import DamagedError, is_local_failure, reason, with_retries
from ingest.sources.revisions import (
    Checkpoint,
    Naming,
    Revision,
    number_checkpoints,
    tokens_per_step,
)
from ingest.sources.source import Weights

# Loading a .bin file would otherwise ask the Hub to convert the repository, in the background.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
disable_progress_bars()  # one bar per file would bury the one that counts tokens

Files = dict[str, RepoFile]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Repository:
    """Downloads go to `cache` and are freed. If `cache` is None, they stay in the Hub's cache."""

    repo_id: str
    cache: Path | None

    @property
    def name(self) -> str:
        return self.repo_id

    @property
    def root(self) -> Path:
        return Path(self.repo_id)

    def checkpoints(self, naming: Naming) -> list[Checkpoint]:
        """All branches and tags that name a step, with their commits, from one request.

        Raises IngestError if there is no such repository, or no checkpoint in it.
        """
        refs = _ask(self.repo_id, lambda: HfApi().list_repo_refs(self.repo_id))
        commits = {r.name: r.target_commit for r in [*refs.tags, *refs.branches]}
        revisions = [
            Revision(name, self._folder(name, c), c) for name, c in sorted(commits.items())
        ]
        per_step = naming.tokens_per_step or tokens_per_step(self.repo_id)
        found = number_checkpoints(revisions, replace(naming, tokens_per_step=per_step))
        if not found:
            raise IngestError(
                f"none of the {len(revisions)} branches and tags of {self.repo_id} "
                f"({', '.join(sorted(commits)[:5])}) names a step: say with --revision-pattern "
                r"where it is in the name, for example 'run7-(?P<step>\d+)'"
            )
        return found

    def weights(self, checkpoint: Checkpoint) -> Weights:
        """Sizes and digests from the Hub's listing, in one request."""
        files = _ask(self.repo_id, lambda: _listing(self.repo_id, _commit(checkpoint)))
        found = _weights(_weight_files(files, checkpoint.revision))
        small = sorted(files.keys() & AUDITED_FILES)
        return replace(found, small=tuple((name, files[name].blob_id) for name in small))

    def final(self) -> tuple[str, Weights] | None:
        files = _ask(self.repo_id, lambda: _listing(self.repo_id, constants.DEFAULT_REVISION))
        try:
            return constants.DEFAULT_REVISION, _weights(_weight_files(files, "main"))
        except CheckpointError:  # main holds only a README
            return None

    @contextmanager
    def described(self, checkpoints: list[Checkpoint]) -> Iterator[list[Checkpoint]]:
        """Downloads the small files of the first checkpoint and of main, and deletes them at the
        end."""
        with tempfile.TemporaryDirectory() as root:
            first, main = Path(root, "first"), Path(root, "main")
            # A run continues if the first checkpoint is unavailable; then main must suffice.
            with suppress(IngestError):
                _fetch_small_files(self.repo_id, _commit(checkpoints[0]), first)
            _fetch_small_files(self.repo_id, constants.DEFAULT_REVISION, main)
            yield [replace(checkpoints[0], path=first), Checkpoint(0, "main", main, 0)]

    def fetch(self, checkpoint: Checkpoint) -> Checkpoint:
        """Download the weights in one format and their configuration, and check the digests.

        Raises CheckpointError, after several attempts, if the Hub does not deliver them.
        """
        try:
            return with_retries(lambda: self._fetch(checkpoint))
        except CheckpointError:
            raise
        except Exception as error:  # any library error, so that the other checkpoints are scored
            if is_local_failure(error):
                raise
            raise CheckpointError(
                f"{checkpoint.revision} cannot be fetched ({reason(error)}): rerun the same "
                "command to retry"
            ) from error

    def free(self, checkpoint: Checkpoint) -> None:
        if self.cache and checkpoint.path.exists():
            shutil.rmtree(checkpoint.path)

    def tidy(self, keep: Collection[Checkpoint]) -> None:
        if self.cache is None or not self.cache.exists():
            return
        for folder in set(self.cache.iterdir()) - {c.path for c in keep}:
            shutil.rmtree(folder)
        if not keep:
            self.cache.rmdir()

    def _fetch(self, checkpoint: Checkpoint) -> Checkpoint:
        files = _listing(self.repo_id, _commit(checkpoint))
        weights = _weight_files(files, checkpoint.revision)
        small = WEIGHT_INDEXES | CONFIG_FILES | TOKENIZER_FILES | MORE_TOKENIZER_FILES
        names = [*weights, *(files.keys() & small), *_code(files)]
        folder = _download(
            self.repo_id, _commit(checkpoint), names, checkpoint.path if self.cache else None
        )
        _check_digests(folder, weights)
        known = _weights(weights)
        return replace(
            checkpoint, path=folder, weights_sha256=known.sha256, weight_digests=known.files
        )

    def _folder(self, revision: str, commit: str) -> Path:
        # By name and commit: two names of one commit are fetched and freed independently.
        return (self.cache or Path()) / f"{revision.replace('/', '_')}-{commit[:12]}"


def download_folder(store: Path) -> Path:
    """The folder for downloads of runs into `store`: inside HF_HOME, where large files belong."""
    key = hashlib.sha256(str(store.resolve()).encode()).hexdigest()[:16]
    return Path(constants.HF_HOME) / "token-trails" / key


@contextmanager
def download_tokenizer(repo_id: str) -> Iterator[Path]:
    """A temporary folder with the tokenizer from a repository's main branch."""
    with tempfile.TemporaryDirectory() as root:
        _fetch_small_files(repo_id, constants.DEFAULT_REVISION, Path(root))
        yield Path(root)


def dataset_commit(repo_id: str) -> str | None:
    """The commit of a data set's main branch. Raises IngestError if there is no such data set."""
    return _ask(repo_id, lambda: HfApi().dataset_info(repo_id)).sha


def _ask(repo_id: str, question: Callable[[], _Answer]) -> _Answer:
    """The Hub's answer about a repository. Raises IngestError if there is none."""
    try:
        return with_retries(question)
    except RepositoryNotFoundError as error:
        raise IngestError(
            f"{repo_id} is neither a local folder nor a repository at {constants.ENDPOINT} that "
            "you can read: correct the name, or log in with `hf auth login`"
        ) from error
    except Exception as error:  # any library error
        if is_local_failure(error):
            raise
        raise IngestError(
            f"{constants.ENDPOINT} does not answer about {repo_id} ({reason(error)}): "
            "rerun the same command later"
        ) from error


def _listing(repo_id: str, revision: str) -> Files:
    """The files at the top level of a revision, by name."""
    tree = HfApi().list_repo_tree(repo_id, revision=revision)
    return {f.path: f for f in tree if isinstance(f, RepoFile)}


def _code(files: Files) -> list[str]:
    """Python files, which run only with --trust-remote-code."""
    return sorted(name for name in files if name.endswith(".py"))


def _commit(checkpoint: Checkpoint) -> str:
    assert checkpoint.commit is not None  # every revision of a repository has one
    return checkpoint.commit


def _weight_files(files: Files, revision: str) -> Files:
    if names := weight_names(files):
        return {name: files[name] for name in names}
    raise CheckpointError(
        without_weights(revision, files, "model.safetensors or pytorch_model.bin")
    )


def _weights(files: Files) -> Weights:
    digests = [f.lfs.sha256 for f in files.values() if f.lfs]
    known = len(digests) == len(files)
    size = sum(f.size for f in files.values())
    if not known:
        return Weights(tuple(files), size, None)
    return Weights(
        tuple(files), size, joint_sha256(digests), tuple(zip(files, digests, strict=True))
    )


def _fetch_small_files(repo_id: str, revision: str, folder: Path) -> None:
    """Download the configuration and the tokenizer of a revision."""
    files = _ask(repo_id, lambda: _listing(repo_id, revision))
    wanted = CONFIG_FILES | TOKENIZER_FILES | MORE_TOKENIZER_FILES
    if names := [*sorted(files.keys() & wanted), *_code(files)]:
        _ask(repo_id, lambda: _download(repo_id, revision, names, folder))


def _download(repo_id: str, revision: str, names: list[str], folder: Path | None) -> Path:
    """Download just these files into the folder, or into the Hub's cache if it is None."""
    patterns = [glob.escape(name) for name in names]
    found = snapshot_download(repo_id, revision=revision, allow_patterns=patterns, local_dir=folder)
    return Path(found)


def _check_digests(folder: Path, weights: Files) -> None:
    """Raises DamagedError after deleting the damaged file. The client checks sizes only."""
    for name, file in weights.items():
        path = folder / name
        if not path.exists():
            raise DamagedError(f"{name} was not downloaded")
        if file.lfs and file_sha256(path) != file.lfs.sha256:
            path.resolve().unlink()  # in the Hub's cache, the blob that the link points to
            path.unlink(missing_ok=True)
            raise DamagedError(
                f"{name} was damaged on the way: its sha256 is not the published one"
            )
