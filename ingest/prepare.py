"""Everything that a run needs to know before the first weight is read."""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from ingest import models
from ingest.checkpoints import Checkpoint, Naming
from ingest.corpus import Convention, Corpus, build_corpus
from ingest.errors import IngestError
from ingest.repeats import Repeats, random_repeats
from ingest.selection import Selection, select
from ingest.sources import Source, tokenizer_folder
from ingest.texts import read_texts
from store import schema
from store.manifest import Manifest

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow")


@dataclass(frozen=True)
class Options:
    """How to score; what is None is decided from the checkpoints."""

    column: str = "text"
    name: str | None = None
    tokenizer: str | None = None
    context_length: int | None = None
    max_parts: int | None = None
    use_bos: bool = True
    naming: Naming = field(default_factory=Naming)
    selection: Selection = field(default_factory=Selection)
    dtype: str = "float32"
    device: str | None = None
    batch_tokens: int = 4_096
    prefetch: int = 2
    keep_cache: bool = False
    probes: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything known before the first weight is read."""

    checkpoints: list[Checkpoint]
    corpus: Corpus
    manifest: Manifest
    repeats: Repeats | None = None


def prepare(source: Source, text: Path, options: Options) -> Plan:
    """List the checkpoints, cut the text into docs, and say what the store will be.

    Raises IngestError for unusable input.
    """
    checkpoints = select(source.checkpoints(options.naming), options.selection)
    documents = read_texts(text, options.column)
    with source.described(checkpoints) as described, tokenizer_folder(options.tokenizer) as named:
        tokenizer = models.load_tokenizer(source.root, described, named)
        config = models.first_config(described)
    convention = Convention(
        _context_length(options, models.context_length(config)),
        _bos_id(tokenizer) if options.use_bos else None,
        options.max_parts,
    )
    corpus = build_corpus(documents, tokenizer, convention)
    n_types = config.get_text_config().vocab_size
    _refuse_small_vocabulary(corpus, n_types)
    repeats = random_repeats(tokenizer, n_types, convention) if options.probes else None
    manifest = Manifest(
        model=options.name or source.name,
        text=text.resolve().name,
        tokenizer=f"{type(tokenizer).__name__}, {len(tokenizer)} token types",
        tokenizer_sha256=models.tokenizer_sha256(tokenizer),
        context_length=convention.context_length,
        bos=None if convention.bos_id is None else _token(tokenizer, convention.bos_id),
        bos_id=convention.bos_id,
        max_parts=options.max_parts,
        dtype=options.dtype,
        attention=models.attention_backend(config),
        n_docs=corpus.docs.num_rows,
        n_tokens=corpus.n_tokens,
        token_fingerprint=schema.fingerprint(corpus.tokens),
        versions={name: version(name) for name in LIBRARIES},
    )
    return Plan(checkpoints, corpus, manifest, repeats)


def _context_length(options: Options, of_model: int | None) -> int:
    wanted = of_model if options.context_length is None else options.context_length
    if wanted is None:
        raise IngestError("the model's config names no context length: give --context-length")
    if wanted < 2:
        raise IngestError(f"--context-length is {wanted}: expected at least 2 tokens")
    if of_model is not None and wanted > of_model:
        raise IngestError(
            f"--context-length is {wanted}, but the model was made for at most {of_model} tokens"
        )
    return wanted


def _bos_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """BOS, else EOS, else none: the convention of lm-evaluation-harness."""
    found = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return None if found is None else int(found)


def _token(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    return str(tokenizer.convert_ids_to_tokens(token_id))


def _refuse_small_vocabulary(corpus: Corpus, size: int) -> None:
    largest = max(int(w.max()) for w in corpus.windows)
    if largest >= size:
        raise IngestError(
            f"the tokenizer gives token id {largest}, but the model knows only {size} token types: "
            "name the model's own tokenizer with --tokenizer"
        )
