"""Everything that a run needs to know before the first weight is read."""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from ingest.errors import IngestError
from ingest.model import loading
from ingest.probes.repeats import Repeats, random_repeats
from ingest.sources.checkpoints import Checkpoint, Naming, Selection, Shard, select
from ingest.sources.folder import Source, tokenizer_folder
from ingest.text.corpus import Convention, Corpus, build_corpus
from ingest.text.documents import Text, open_text
from store import schema
from store.manifest import Manifest

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow")


@dataclass(frozen=True)
class Options:
    """How to score; what is None is decided from the checkpoints."""

    column: str = "text"
    split: str | None = None
    limit_docs: int | None = None
    limit_tokens: int | None = None
    name: str | None = None
    tokenizer: str | None = None
    context_length: int | None = None
    max_parts: int | None = None
    stride: int | None = None
    use_bos: bool = True
    naming: Naming = field(default_factory=Naming)
    selection: Selection = field(default_factory=Selection)
    dtype: str = "float32"
    device: str | None = None
    attention: str | None = None
    compile: bool = False
    batch_tokens: int = 4_096
    prefetch: int = 2
    keep_cache: bool = False
    probes: bool = False
    shard: Shard | None = None
    engine: str = "local"


@dataclass(frozen=True)
class Plan:
    """Everything known before the first weight is read."""

    checkpoints: list[Checkpoint]
    corpus: Corpus
    manifest: Manifest
    repeats: Repeats | None = None


@dataclass(frozen=True)
class _Described:
    """A source by its small files."""

    source: Source
    checkpoints: list[Checkpoint]
    tokenizer: PreTrainedTokenizerBase
    tokenizer_sha256: str
    config: PretrainedConfig
    convention: Convention


def prepare(source: Source, text: str | Path, options: Options) -> Plan:
    """List the checkpoints, cut the text into docs, and say what the store will be.

    Raises IngestError for unusable input.
    """
    return prepare_all([(source, options)], text)[0]


def prepare_all(sources: list[tuple[Source, Options]], text: str | Path) -> list[Plan]:
    """The same for several sources, on one text that is read and tokenized once.

    Options of the text are those of the first. Raises IngestError also where the sources do not
    give the text the same tokens.
    """
    options = sources[0][1]
    opened = open_text(text, options.column, options.split, options.limit_docs)
    described = [_describe(source, own) for source, own in sources]
    _refuse_unlike(described)
    corpus = build_corpus(opened.documents, described[0].tokenizer, described[0].convention)
    plans = []
    for each, (_, own) in zip(described, sources, strict=True):
        _refuse_small_vocabulary(corpus, each.config.get_text_config().vocab_size)
        manifest = _manifest(each, corpus, opened, own)
        plans.append(Plan(each.checkpoints, corpus, manifest, _repeats(each, own)))
    return plans


def _describe(source: Source, options: Options) -> _Described:
    checkpoints = select(source.checkpoints(options.naming), options.selection)
    with source.described(checkpoints) as described, tokenizer_folder(options.tokenizer) as named:
        tokenizer = loading.load_tokenizer(source.root, described, named)
        config = loading.first_config(described)
        sha256 = loading.tokenizer_sha256(tokenizer)
    convention = Convention(
        _context_length(options, loading.context_length(config)),
        _bos_id(tokenizer) if options.use_bos else None,
        options.max_parts,
        options.stride,
        options.limit_tokens,
    )
    return _Described(source, checkpoints, tokenizer, sha256, config, convention)


def _repeats(described: _Described, options: Options) -> Repeats | None:
    n_types = described.config.get_text_config().vocab_size
    if not options.probes:
        return None
    return random_repeats(described.tokenizer, n_types, described.convention)


def _refuse_unlike(described: list[_Described]) -> None:
    first = described[0]
    for other in described[1:]:
        for what, one, two in (
            ("tokenizer", first.tokenizer_sha256[:12], other.tokenizer_sha256[:12]),
            ("context length", first.convention.context_length, other.convention.context_length),
            ("BOS", first.convention.bos_id, other.convention.bos_id),
        ):
            if one != two:
                raise IngestError(
                    f"{first.source.name} and {other.source.name} do not have the same {what} "
                    f"({one} and {two}), so their losses could not be compared: run them one by "
                    "one, or give --tokenizer or --context-length for all"
                )


def _manifest(described: _Described, corpus: Corpus, text: Text, options: Options) -> Manifest:
    tokenizer, convention = described.tokenizer, described.convention
    return Manifest(
        model=options.name or described.source.name,
        text=text.name,
        tokenizer=f"{type(tokenizer).__name__}, {len(tokenizer)} token types",
        tokenizer_sha256=described.tokenizer_sha256,
        context_length=convention.context_length,
        bos=None if convention.bos_id is None else _token(tokenizer, convention.bos_id),
        bos_id=convention.bos_id,
        max_parts=options.max_parts,
        stride=options.stride,
        limit_docs=options.limit_docs,
        limit_tokens=options.limit_tokens,
        text_commit=text.commit,
        dtype=options.dtype,
        attention=loading.attention_backend(described.config, options.attention),
        n_docs=corpus.docs.num_rows,
        n_tokens=corpus.n_tokens,
        token_fingerprint=schema.fingerprint(corpus.tokens),
        versions={name: version(name) for name in LIBRARIES},
    )


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
