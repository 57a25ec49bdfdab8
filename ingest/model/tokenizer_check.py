"""Does a checkpoint come with a tokenizer that reads the text as another sequence of tokens?"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from ingest.errors import CheckpointError, IngestError
from ingest.sources.checkpoint_files import MORE_TOKENIZER_FILES, TOKENIZER_FILES
from ingest.sources.revisions import Checkpoint
from ingest.text.tokenizer import load_tokenizer

_SHOWN = 40  # characters of the text in a message


@dataclass(frozen=True)
class TokenizerCheck:
    """The tokenizer of a run, and the texts that it was used on.

    Tokenizers may differ in what does not matter here, such as truncation or chat tokens. So what
    is compared is what they do: the tokens of the texts, and the BOS if there is one.
    """

    tokenizer: PreTrainedTokenizerBase
    texts: list[str]
    with_bos: bool
    trust_remote_code: bool = False
    _known: dict[str, str | None] = field(default_factory=dict)
    """Digest of a tokenizer's files -> what is different, or None."""

    def refuse_other(self, checkpoint: Checkpoint) -> None:
        """Raises CheckpointError if the checkpoint's folder holds a tokenizer that differs."""
        files = tokenizer_files(checkpoint.path)
        if not files:
            return
        digest = files_digest(files)
        if digest not in self._known:
            self._known[digest] = self._difference(checkpoint.path)
        if difference := self._known[digest]:
            raise CheckpointError(
                f"{checkpoint.revision} comes with another tokenizer than the run's ({difference}):"
                " its losses would be of other tokens; to score it with the run's tokenizer all "
                "the same, name that with --tokenizer"
            )

    def _difference(self, folder: Path) -> str | None:
        try:
            other = load_tokenizer(folder, [], None, self.trust_remote_code)
        except IngestError as error:
            return str(error)
        if self.with_bos and _bos(other) != _bos(self.tokenizer):
            return f"its BOS is token {_bos(other)}, not {_bos(self.tokenizer)}"
        for text in self.texts:
            if _ids(other, text) != _ids(self.tokenizer, text):
                shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
                return f"it cuts {shown!r} into other tokens"
        return None


def _bos(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The BOS, else the EOS, as the tokenizer names them."""
    bos: int | None = tokenizer.bos_token_id
    return tokenizer.eos_token_id if bos is None else bos


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, truncation=False, padding=False)[
        "input_ids"
    ]
    return ids


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a folder's tokenizer, sorted; an empty list if it holds none."""
    if not folder.is_dir():
        return []
    names = {path.name for path in folder.iterdir()}
    if not names & TOKENIZER_FILES:
        return []
    return [folder / name for name in sorted(names & (TOKENIZER_FILES | MORE_TOKENIZER_FILES))]


def files_digest(files: list[Path]) -> str:
    """sha256 over the names and contents of small files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
