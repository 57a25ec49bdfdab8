"""prompt_logprobs of inference servers: a record per prompt, in JSON or JSONL.

vLLM: `prompt_logprobs`, a list of {token id: {logprob, rank, decoded_token}}, perhaps inside
`choices`. SGLang: `meta_info.input_token_logprobs`, a list of [logprob, token id, text]. Inspect
and OpenAI: `logprobs.content`, a list of {token, logprob}. The first entry of a prompt is null.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.errors import IngestError
from ingest.imports.documents import Document, batches_of
from ingest.imports.files import checkpoint_of, records
from ingest.imports.results import Format, ImportOptions, Preview, Results


@dataclass(frozen=True)
class _Entry:
    """One token of a prompt."""

    token_id: int | None
    text: str | None
    logprob: float
    rank: float = np.nan


def recognise(found: Preview) -> str | None:
    """One of the three lists."""
    name = next((name for name, _ in _lists(found.record)), None)
    return f"a record per prompt, with {name}" if name else None


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with batches. Ranks count from 1 in vLLM."""
    return Results(
        options.unit or "logprob",
        "decimal numbers (JSON)",
        batches=lambda: batches_of(_documents(found, options)),
        rank_from=1,
    )


def _lists(record: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    for inside in (record, *_choices(record)):
        if isinstance(found := inside.get("prompt_logprobs"), list):
            yield "prompt_logprobs", found
        about = inside.get("meta_info")
        if isinstance(about, dict) and isinstance(about.get("input_token_logprobs"), list):
            yield "input_token_logprobs", about["input_token_logprobs"]
        scores = inside.get("logprobs")
        if isinstance(scores, dict) and isinstance(scores.get("content"), list):
            yield "logprobs.content", scores["content"]


def _choices(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = record.get("choices")
    return [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []


def _documents(found: Preview, options: ImportOptions) -> Iterator[Document]:
    seen: dict[int, int] = {}
    for path in found.files:
        for number, record in enumerate(records(path), 1):
            where = f"{path}, row {number:,}"
            entries = _entries(record, where)
            step = record.get("checkpoint", record.get("step"))
            given = options.checkpoints
            checkpoint = checkpoint_of(path, found.path, given) if step is None else int(step)
            seen[checkpoint] = seen.get(checkpoint, -1) + 1
            doc = record.get("doc", record.get("request_id", seen[checkpoint]))
            yield _document(entries, str(path), number, checkpoint, doc, where)


def _document(
    entries: list[_Entry], path: str, number: int, checkpoint: int, doc: Any, where: str
) -> Document:
    ids, texts = [e.token_id for e in entries], [e.text for e in entries]
    has_ids, has_texts = None not in ids, None not in texts
    if not (has_ids or has_texts):
        at = next(n for n, e in enumerate(entries, 1) if e.token_id is None and e.text is None)
        raise IngestError(f"{where}: entry {at:,} has neither a token id nor a text")
    ranks = np.array([e.rank for e in entries])
    return Document(
        path,
        number,
        checkpoint,
        doc,
        np.array([e.logprob for e in entries]),
        np.array(ids, np.int64) if has_ids else None,
        pa.array(texts, pa.string()) if has_texts else None,
        None if np.isnan(ranks).all() else ranks,
    )


def _entries(record: Mapping[str, Any], where: str) -> list[_Entry]:
    found = next(_lists(record), None)
    if found is None:
        raise IngestError(f"{where}: no prompt_logprobs, input_token_logprobs or logprobs.content")
    name, values = found
    if name == "input_token_logprobs":
        return [_Entry(int(v[1]), v[2], np.nan if v[0] is None else float(v[0])) for v in values]
    if name == "logprobs.content":
        return [_Entry(None, v["token"], float(v["logprob"])) for v in values]
    ids = record.get("prompt_token_ids") or next(
        (c["prompt_token_ids"] for c in _choices(record) if c.get("prompt_token_ids")), None
    )
    entries = [
        _vllm_entry(value, None if ids is None else ids[at], f"{where}, entry {at + 1:,}")
        for at, value in enumerate(values)
    ]
    # Without ids, the first token of the prompt is unknown. It has no loss.
    return entries[1:] if ids is None and values and values[0] is None else entries


def _vllm_entry(value: Mapping[str, Any] | None, token_id: int | None, where: str) -> _Entry:
    if value is None:
        return _Entry(token_id, None if token_id is None else "", np.nan)
    if token_id is None and len(value) > 1:
        raise IngestError(
            f"{where}: {len(value)} tokens, and no prompt_token_ids that say which of them is the "
            "prompt's: save these too, or ask for prompt_logprobs=0"
        )
    key = next(iter(value)) if token_id is None else str(token_id)
    if key not in value:
        raise IngestError(f"{where}: no log-probability of the prompt's token {key}")
    found = value[key]
    rank = found.get("rank")
    return _Entry(
        int(key),
        found.get("decoded_token"),
        float(found["logprob"]),
        np.nan if rank is None else float(rank),
    )


FORMAT = Format(
    "prompt-logprobs", "prompt_logprobs of vLLM, SGLang, OpenAI and Inspect", recognise, read
)
