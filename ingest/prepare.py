"""Everything that a run needs before it reads the first weight: checkpoints, corpus, manifest."""

import copy
import hashlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ingest.errors import IngestError
from ingest.model.configuration import attention_backend, context_length, first_config
from ingest.model.tokenizer_check import TokenizerCheck
from ingest.options import RunOptions
from ingest.probes.repeats import Repeats, random_repeats
from ingest.sources.open import tokenizer_folder
from ingest.sources.revisions import Checkpoint
from ingest.sources.selection import select
from ingest.sources.source import Source
from ingest.text.chat import writes_bos
from ingest.text.corpus import Convention, Corpus, build_corpus
from ingest.text.documents import Text, open_text
from ingest.text.tokenizer import bos_id, load_tokenizer, tokenizer_sha256, vocabulary
from store import schema
from store.manifest import Manifest

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow")


@dataclass(frozen=True)
class PreparedRun:
    """The selected checkpoints, the tokenized text, the store's manifest, and what to probe.

    `vocabulary`, if predictions are wanted: the text of each token type, NULL if it has none.
    """

    checkpoints: list[Checkpoint]
    corpus: Corpus
    manifest: Manifest
    repeats: Repeats | None = None
    tokenizer_check: TokenizerCheck | None = None
    vocabulary: pa.Array | None = None


@dataclass(frozen=True)
class _DescribedSource:
    """What a source's small files say, or a model in memory."""

    name: str
    checkpoints: list[Checkpoint]
    tokenizer: PreTrainedTokenizerBase
    tokenizer_sha256: str
    config: PretrainedConfig
    convention: Convention
    attention: str


def prepare(source: Source, text: str | Path, options: RunOptions) -> PreparedRun:
    """List the checkpoints, cut the text into docs, and describe the store.

    Raises IngestError for unusable input.
    """
    return prepare_all([(source, options)], text)[0]


def prepare_all(sources: list[tuple[Source, RunOptions]], text: str | Path) -> list[PreparedRun]:
    """Prepare a run for each source, on one text that is read and tokenized once.

    The options of the text are those of the first. Raises IngestError for unusable input, and if
    the sources do not turn the text into the same tokens.
    """
    options = [own for _, own in sources]
    opened = _open(text, options[0])
    described = [_describe(source, own) for source, own in sources]
    _refuse_different(described)
    return _prepare(described, opened, options)


def prepare_recording(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str | Path,
    options: RunOptions,
) -> PreparedRun:
    """As `prepare`, for a model in memory: without checkpoints. Raises IngestError as that does."""
    opened = _open(text, options)
    tokenizer = copy.deepcopy(tokenizer)  # calls change its settings
    described = _DescribedSource(
        options.name or "recorded run",
        [],
        tokenizer,
        tokenizer_sha256(tokenizer),
        model.config,
        _convention(tokenizer, model.config, options),
        str(model.config._attn_implementation),
    )
    prepared = _prepare([described], opened, [options])[0]
    dtype = str(model.dtype).removeprefix("torch.")
    manifest = replace(
        prepared.manifest,
        dtype=dtype,
        planned=None,
        recorded=True,
        shapes_sha256=_shapes_sha256(model),
    )
    return replace(prepared, manifest=manifest)


def _shapes_sha256(model: PreTrainedModel) -> str:
    """There are no files whose configuration could be compared when a recording goes on."""
    shapes = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
    return hashlib.sha256(repr((type(model).__name__, shapes)).encode()).hexdigest()


def _open(text: str | Path, options: RunOptions) -> Text:
    column = options.column or ("messages" if options.chat else "text")
    return open_text(
        text, column, options.split, options.limit_docs, options.document_column, options.chat
    )


def _prepare(
    described: list[_DescribedSource], opened: Text, options: list[RunOptions]
) -> list[PreparedRun]:
    corpus = build_corpus(opened.documents, described[0].tokenizer, described[0].convention)
    prepared = []
    for each, own in zip(described, options, strict=True):
        _refuse_small_vocabulary(corpus, each.config.get_text_config().vocab_size)
        manifest = _manifest(each, corpus, opened, own)
        check = _tokenizer_check(each, corpus, own)
        texts = _vocabulary(each, own)
        prepared.append(
            PreparedRun(each.checkpoints, corpus, manifest, _repeats(each, own), check, texts)
        )
    return prepared


def _describe(source: Source, options: RunOptions) -> _DescribedSource:
    checkpoints = select(source.checkpoints(options.naming), options.selection)
    with source.described(checkpoints) as described, tokenizer_folder(options.tokenizer) as named:
        trust = options.trust_remote_code
        tokenizer = load_tokenizer(source.root, described, named, trust)
        config = first_config(described, trust)
        sha256 = tokenizer_sha256(tokenizer)
    convention = _convention(tokenizer, config, options)
    attention = attention_backend(config, options.attention, trust)
    return _DescribedSource(
        source.name, checkpoints, tokenizer, sha256, config, convention, attention
    )


def _convention(
    tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, options: RunOptions
) -> Convention:
    bos = None if options.no_bos else bos_id(tokenizer, config)
    if options.chat and not writes_bos(tokenizer, bos):
        bos = None  # the template decides how a conversation begins
    return Convention(
        _context_length(options, context_length(config)),
        bos,
        options.max_parts,
        options.stride,
        options.limit_tokens,
    )


def _context_length(options: RunOptions, of_model: int | None) -> int:
    wanted = of_model if options.context_length is None else options.context_length
    if wanted is None:
        raise IngestError(
            "the model's config does not say its context length: give --context-length"
        )
    if wanted < 2:
        raise IngestError(f"--context-length is {wanted}: expected at least 2 tokens")
    if of_model is not None and wanted > of_model:
        raise IngestError(
            f"--context-length is {wanted}, but the model was built for at most {of_model} tokens"
        )
    return wanted


def _refuse_different(described: list[_DescribedSource]) -> None:
    first = described[0]
    for other in described[1:]:
        facts = {
            "tokenizer": (first.tokenizer_sha256[:12], other.tokenizer_sha256[:12]),
            "context length": (
                first.convention.context_length,
                other.convention.context_length,
            ),
            "BOS": (first.convention.bos_id, other.convention.bos_id),
        }
        for name, (one, two) in facts.items():
            if one != two:
                raise IngestError(
                    f"{first.name} and {other.name} do not have the same {name} "
                    f"({one} and {two}), so their losses could not be compared: run them one by "
                    "one, or give --tokenizer or --context-length for all"
                )


def _refuse_small_vocabulary(corpus: Corpus, size: int) -> None:
    largest = max(int(w.max()) for w in corpus.windows)
    if largest >= size:
        raise IngestError(
            f"the tokenizer gives token id {largest}, but the model knows only {size} token types: "
            "name the model's own tokenizer with --tokenizer"
        )


def _manifest(
    described: _DescribedSource, corpus: Corpus, text: Text, options: RunOptions
) -> Manifest:
    tokenizer, convention = described.tokenizer, described.convention
    return Manifest(
        model=options.name or described.name,
        text=text.name,
        tokenizer=f"{type(tokenizer).__name__}, {len(tokenizer)} token types",
        tokenizer_sha256=described.tokenizer_sha256,
        context_length=convention.context_length,
        bos=None if convention.bos_id is None else _token(tokenizer, convention.bos_id),
        bos_id=convention.bos_id,
        dtype=options.dtype,
        attention=described.attention,
        n_docs=corpus.docs.num_rows,
        n_tokens=corpus.n_tokens,
        token_fingerprint=schema.fingerprint(corpus.tokens),
        options=options.recorded,
        text_commit=text.commit,
        versions={name: version(name) for name in LIBRARIES},
        planned=sorted(c.checkpoint for c in described.checkpoints),
    )


def _token(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    return str(tokenizer.convert_ids_to_tokens(token_id))


def _repeats(described: _DescribedSource, options: RunOptions) -> Repeats | None:
    if not options.probes:
        return None
    n_types = described.config.get_text_config().vocab_size
    return random_repeats(described.tokenizer, n_types, described.convention)


def _vocabulary(described: _DescribedSource, options: RunOptions) -> pa.Array | None:
    if not options.predictions:
        return None
    n_types = described.config.get_text_config().vocab_size
    return pa.array(vocabulary(described.tokenizer, n_types), pa.string())


def _tokenizer_check(
    described: _DescribedSource, corpus: Corpus, options: RunOptions
) -> TokenizerCheck | None:
    """None if the user named the tokenizer, which then counts for every checkpoint."""
    if options.tokenizer:
        return None
    texts = corpus.docs["text"].to_pylist()
    return TokenizerCheck(described.tokenizer, texts, not options.no_bos, options.trust_remote_code)
