"""A repository on the Hub as a source: its revisions, their weights, downloads that are freed."""

import glob
import hashlib
import os
import re
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
from ingest.sources.checkpoints import Checkpoint, Entry, Naming, file_sha256, joint_sha256, number
from ingest.sources.families import tokens_per_step
from ingest.sources.folder import Weights
from ingest.sources.retries import DamagedError, is_of_this_machine, patiently, reason

os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")


disable_progress_bars()  # ours shows tokens; hundreds of files would bury it

# In the order in which transformers looks for them; one format is fetched, never both.
_FORMATS = (
    r"model\.safetensors",
    r"model-\d+-of-\d+\.safetensors",
    r"pytorch_model\.bin",
    r"pytorch_model-\d+-of-\d+\.bin",
)
_INDEXES = {"model.safetensors.index.json", "pytorch_model.bin.index.json"}
_CONFIGS = {"config.json", "generation_config.json"}
_TOKENIZERS = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
}
Files = dict[str, RepoFile]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Repository:
    """Downloads go to `cache`, and are freed; where that is None, to the Hub's own cache."""

    repo_id: str
    cache: Path | None

    @property
    def name(self) -> str:
        return self.repo_id

    @property
    def root(self) -> Path:
        return Path(self.repo_id)

    def checkpoints(self, naming: Naming) -> list[Checkpoint]:
        """From one request: branches and tags come with their commits.

        Raises IngestError where there is no such repository, or no checkpoint in it.
        """
        refs = _asked(self.repo_id, lambda: HfApi().list_repo_refs(self.repo_id))
        commits = {r.name: r.target_commit for r in [*refs.tags, *refs.branches]}
        entries = [Entry(name, self._folder(name, c), c) for name, c in sorted(commits.items())]
        per_step = naming.tokens_per_step or tokens_per_step(self.repo_id)
        found = number(entries, replace(naming, tokens_per_step=per_step))
        if not found:
            raise IngestError(
                f"none of the {len(entries)} branches and tags of {self.repo_id} "
                f"({', '.join(sorted(commits)[:5])}) names a step: say with --revision-pattern "
                r"where it stands, for example 'run7-(?P<step>\d+)'"
            )
        return found

    def weights(self, checkpoint: Checkpoint) -> Weights:
        """From one request; sizes and digests are those of the Hub's listing."""
        files = _asked(self.repo_id, lambda: _listing(self.repo_id, _commit(checkpoint)))
        return _weights(_weight_files(files, checkpoint.revision))

    def final(self) -> tuple[str, Weights] | None:
        files = _asked(self.repo_id, lambda: _listing(self.repo_id, constants.DEFAULT_REVISION))
        try:
            return constants.DEFAULT_REVISION, _weights(_weight_files(files, "main"))
        except CheckpointError:  # a main that holds only a README
            return None

    @contextmanager
    def described(self, checkpoints: list[Checkpoint]) -> Iterator[list[Checkpoint]]:
        """Small files of the first checkpoint and of main, downloaded for as long as it takes."""
        with tempfile.TemporaryDirectory() as root:
            first, main = Path(root, "first"), Path(root, "main")
            # The run goes on without a first checkpoint that cannot be had, so main will do.
            with suppress(IngestError):
                _fetch_small(self.repo_id, _commit(checkpoints[0]), first)
            _fetch_small(self.repo_id, constants.DEFAULT_REVISION, main)
            yield [replace(checkpoints[0], path=first), Checkpoint(0, "main", main, 0)]

    def fetch(self, checkpoint: Checkpoint) -> Checkpoint:
        """Download one format of the weights and their configuration, and check the digests.

        Raises CheckpointError, after several tries, where the Hub does not give them.
        """
        try:
            return patiently(lambda: self._fetch(checkpoint))
        except CheckpointError:
            raise
        except Exception as error:  # any library error, so that the others go on
            if is_of_this_machine(error):
                raise
            raise CheckpointError(
                f"{checkpoint.revision} cannot be fetched ({reason(error)}): run again to "
                "try it again"
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
        names = [*weights, *(files.keys() & (_INDEXES | _CONFIGS))]
        folder = _download(
            self.repo_id, _commit(checkpoint), names, checkpoint.path if self.cache else None
        )
        _check(folder, weights)
        return replace(checkpoint, path=folder, weights_sha256=_weights(weights).sha256)

    def _folder(self, revision: str, commit: str) -> Path:
        # By name and commit: two names of one commit are fetched and freed each by itself.
        return (self.cache or Path()) / f"{revision.replace('/', '_')}-{commit[:12]}"


def downloads(store: Path) -> Path:
    """The folder for downloads of runs into `store`, below HF_HOME, where large files belong."""
    key = hashlib.sha256(str(store.resolve()).encode()).hexdigest()[:16]
    return Path(constants.HF_HOME) / "token-trails" / key


@contextmanager
def tokenizer_of(repo_id: str) -> Iterator[Path]:
    """A folder with the tokenizer of a repository's main branch."""
    with tempfile.TemporaryDirectory() as root:
        _fetch_small(repo_id, constants.DEFAULT_REVISION, Path(root))
        yield Path(root)


def dataset_commit(repo_id: str) -> str | None:
    """The commit that a data set's main branch is at. Raises IngestError where there is none."""
    return _asked(repo_id, lambda: HfApi().dataset_info(repo_id)).sha


def _asked(repo_id: str, question: Callable[[], _Answer]) -> _Answer:
    """An answer of the Hub about a repository. Raises IngestError where there is none."""
    try:
        return patiently(question)
    except RepositoryNotFoundError as error:
        raise IngestError(
            f"{repo_id} is neither a folder here nor a repository at {constants.ENDPOINT} that you "
            "may read: correct the name, or log in with `hf auth login`"
        ) from error
    except Exception as error:  # any library error
        if is_of_this_machine(error):
            raise
        raise IngestError(
            f"{constants.ENDPOINT} does not answer about {repo_id} ({reason(error)}): "
            "run the same command again later"
        ) from error


def _listing(repo_id: str, revision: str) -> Files:
    """The files at the top of a revision, by name."""
    tree = HfApi().list_repo_tree(repo_id, revision=revision)
    return {f.path: f for f in tree if isinstance(f, RepoFile)}


def _commit(checkpoint: Checkpoint) -> str:
    assert checkpoint.commit is not None  # every entry of a repository has one
    return checkpoint.commit


def _weight_files(files: Files, revision: str) -> Files:
    for pattern in _FORMATS:
        if found := {n: files[n] for n in sorted(files) if re.fullmatch(pattern, n)}:
            return found
    raise CheckpointError(
        f"{revision} has no weights: expected model.safetensors or pytorch_model.bin in it"
    )


def _weights(files: Files) -> Weights:
    digests = [f.lfs.sha256 for f in files.values() if f.lfs]
    known = len(digests) == len(files)
    size = sum(f.size for f in files.values())
    return Weights(tuple(files), size, joint_sha256(digests) if known else None)


def _fetch_small(repo_id: str, revision: str, folder: Path) -> None:
    """Configuration and tokenizer of a revision."""
    files = _asked(repo_id, lambda: _listing(repo_id, revision))
    names = sorted(files.keys() & (_CONFIGS | _TOKENIZERS))
    if names:
        _asked(repo_id, lambda: _download(repo_id, revision, names, folder))


def _download(repo_id: str, revision: str, names: list[str], folder: Path | None) -> Path:
    """Just these files, into the folder or, where that is None, the Hub's cache."""
    patterns = [glob.escape(name) for name in names]
    found = snapshot_download(repo_id, revision=revision, allow_patterns=patterns, local_dir=folder)
    return Path(found)


def _check(folder: Path, weights: Files) -> None:
    """Raises DamagedError, once what is damaged is deleted: the client checks sizes alone."""
    for name, file in weights.items():
        path = folder / name
        if not path.exists():
            raise DamagedError(f"{name} has not arrived")
        if file.lfs and file_sha256(path) != file.lfs.sha256:
            path.resolve().unlink()  # in the Hub's cache, the blob behind the link
            path.unlink(missing_ok=True)
            raise DamagedError(f"{name} has arrived damaged: its sha256 is not the published one")
