"""The columns of every Parquet file in a store, and the fingerprint of its tokens."""

import hashlib

import numpy as np
import pyarrow as pa

LOSSES = pa.schema(
    [
        ("checkpoint", pa.int64()),
        ("doc", pa.int32()),
        ("position", pa.int32()),
        ("token_id", pa.int32()),
        ("token_str", pa.string()),
        ("is_word_start", pa.bool_()),
        ("loss", pa.float32()),
    ]
)

PREDICTIONS = pa.schema(
    [
        ("checkpoint", pa.int64()),
        ("doc", pa.int32()),
        ("position", pa.int32()),
        ("rank", pa.int32()),
        ("entropy", pa.float32()),
        ("top_id", pa.int32()),
        ("top_str", pa.string()),
        ("top_loss", pa.float32()),
    ]
)

TOKENS = pa.schema(
    [
        ("row", pa.int64()),
        ("doc", pa.int32()),
        ("position", pa.int32()),
        ("token_id", pa.int32()),
        ("token_str", pa.string()),
        ("is_word_start", pa.bool_()),
        ("char_start", pa.int32()),
        ("char_end", pa.int32()),
        ("word", pa.string()),
        ("prev_token_str", pa.string()),
        ("word_part", pa.int32()),
        ("seen_before", pa.int32()),
        ("bigram_seen_before", pa.int32()),
        ("trigram_seen_before", pa.int32()),
        ("corpus_count", pa.int64()),
    ]
)

# Further columns of tokens.parquet in a store of conversations (`ingest run --chat`).
CHAT = pa.schema([("role", pa.string()), ("turn", pa.int32()), ("is_template", pa.bool_())])

DOCS = pa.schema(
    [
        ("doc", pa.int32()),
        ("source", pa.string()),
        ("part", pa.int32()),
        ("n_tokens", pa.int32()),
        ("text", pa.string()),
    ]
)

# A column of docs.parquet after those, before metadata: the character of the source document at
# which the doc's text starts. Older stores do not have it.
TEXT_START = pa.field("text_start", pa.int32())

CHECKPOINTS = pa.schema(
    [
        ("checkpoint", pa.int64()),
        ("revision", pa.string()),
        ("commit", pa.string()),
        ("tokens_seen", pa.int64()),
        ("weights_sha256", pa.string()),
        ("n_tokens", pa.int64()),
        ("mean_loss", pa.float64()),
        ("seconds", pa.float64()),
        ("stage", pa.int32()),
        ("step", pa.int64()),
        ("error", pa.string()),
    ]
)

# The last column of checkpoints.parquet. Older stores do not have it.
DUPLICATE_OF = pa.field("duplicate_of", pa.int64())

PROBES = pa.schema(
    [
        ("checkpoint", pa.int64()),
        ("probe", pa.string()),
        ("layer", pa.int32()),
        ("head", pa.int32()),
        ("value", pa.float64()),
        ("weights_sha256", pa.string()),
    ]
)

# The probes: two losses in nats, and a score from 0 to 1 for each attention head.
LOSS_FIRST, LOSS_SECOND, PREFIX_MATCHING = "loss_first", "loss_second", "prefix_matching"

# Columns of tokens.parquet that every loss file repeats, row by row.
REPEATED = ["doc", "position", "token_id", "token_str", "is_word_start"]


def tokens(chat: bool) -> pa.Schema:
    """The columns of tokens.parquet."""
    return pa.schema([*TOKENS, *(CHAT if chat else ())])


def fingerprint(tokens: pa.Table) -> str:
    """sha256 over doc, position and token_id: each column's int32 values, little endian."""
    digest = hashlib.sha256()
    for name in ("doc", "position", "token_id"):
        values = tokens[name].to_numpy()
        digest.update(np.ascontiguousarray(values, dtype="<i4").tobytes())
    return digest.hexdigest()
