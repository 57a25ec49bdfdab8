"""Compare models of one text whose tokenizers differ: bits per byte, and the loss of each word."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd

from queries.analyses.base import Chart, Help, Tables, WithScript, python_script_of_stores
from queries.engine.sums import GroupSums
from queries.errors import QueryError, StoreError
from queries.stats import bands
from queries.store import Store
from queries.words import Words, words_of

Per = Literal["byte", "word"]
UNITS: dict[str, str] = {"byte": "bits per byte", "word": "nats per word"}


@dataclass(frozen=True)
class WordComparison(WithScript):
    """Words of one text in several stores, and the loss of each under each model."""

    frame: pd.DataFrame
    """run, checkpoint, value, low, high, n_words, n_bytes, n_docs, n_docs_effective, verdict: each
    store's trajectory over the words that all of them scored as a whole."""
    difference: pd.DataFrame
    """run, baseline, checkpoint, baseline_checkpoint, difference, low, high, n_docs_effective,
    verdict: each later store minus the first, at the last checkpoints, paired by source."""
    words: pd.DataFrame
    """source, word, prev_text, text, first_loss, second_loss, difference (nats): the words of the
    first two stores at their last checkpoints, the largest difference first."""
    per: Per

    tables: ClassVar[Tables] = {
        "trajectories": lambda result: result.frame,
        "difference": lambda result: result.difference,
        "words": lambda result: result.words,
    }

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.compare_words(self.frame, self.words, UNITS[self.per])


def compare_words(
    stores: Sequence[Store | str | Path],
    *,
    where: Annotated[str, Help("condition over `words`, such as text ilike '%war%'")] = "true",
    per: Annotated[Per, "divide the summed loss by bytes (bits) or words (nats)"] = "byte",
) -> WordComparison:
    """The losses of words in several stores of the same text, whatever their tokenizers.

    Counted are the words that meet the condition in the first store and were scored as a whole in
    all of them. Bits per byte are summed nats / ln 2 / UTF-8 bytes. Bands treat source documents
    as the sampled unit. Raises QueryError for fewer than two stores, StoreError if the texts
    differ, and GroupError.
    """
    runs = [store if isinstance(store, Store) else Store(store) for store in stores]
    if len({run.path.resolve() for run in runs}) < max(2, len(runs)):
        names = ", ".join(str(run.path) for run in runs) or "none"
        raise QueryError(f"expected two or more different stores, got {names}")
    if per not in UNITS:
        raise QueryError(f"losses are not compared per {per}: expected {' or '.join(UNITS)}")
    texts = [words_of(run) for run in runs]
    for other in texts[1:]:
        _refuse_other_text(texts[0], other)
    places = _shared(texts, where)
    sums = [_sums(text, at, per) for text, at in zip(texts, places, strict=True)]
    return WordComparison(
        pd.concat(
            [_trajectory(*parts, per) for parts in zip(texts, places, sums, strict=True)],
            ignore_index=True,
        ),
        _differences(runs, texts, sums, per),
        _word_losses(texts, places),
        per,
        code=python_script_of_stores(runs, compare_words, where=where, per=per),
    )


def _refuse_other_text(first: Words, other: Words) -> None:
    """Raises StoreError unless the source documents that both have are the same text."""
    texts = [w.frame.groupby("source", sort=False)["text"].sum() for w in (first, other)]
    shared = texts[0].index.intersection(texts[1].index)
    paths = f"{first.store.path} and {other.store.path}"
    if shared.empty:
        raise StoreError(
            f"{paths} have no source document in common: score the same text in both, with the "
            "same names of documents"
        )
    for source in shared:
        one, two = texts[0][source], texts[1][source]
        length = min(len(one), len(two))
        if one[:length] != two[:length]:
            at = next(i for i in range(length) if one[i] != two[i])
            raise StoreError(
                f"{paths} hold different texts: {source} differs from character {at:,} on "
                f"({one[at : at + 20]!r}, {two[at : at + 20]!r})"
            )


def _shared(texts: list[Words], where: str) -> list[np.ndarray]:
    """Places in each store of the words that all scored as a whole; equal words in equal order."""
    keys = ["source", "char_start", "text"]
    chosen = texts[0].frame.iloc[texts[0].members(where)][keys]
    for other in texts[1:]:
        chosen = chosen.merge(other.frame.loc[other.is_whole, keys], on=keys)
    if chosen.empty:
        raise QueryError(
            f"no word that `{where}` selects was scored as a whole in all stores: widen it, or "
            "score more of the text"
        )
    wanted = pd.MultiIndex.from_frame(chosen)
    found = [pd.MultiIndex.from_frame(w.frame[keys]).get_indexer(wanted) for w in texts]
    return [np.asarray(places, dtype=np.int64) for places in found]


def _sums(text: Words, places: np.ndarray, per: Per) -> GroupSums:
    """Nats summed by source; counts are bytes or words."""
    return text.sums(places, text.frame["n_bytes"].to_numpy() if per == "byte" else None)


def _trajectory(text: Words, places: np.ndarray, sums: GroupSums, per: Per) -> pd.DataFrame:
    frame = _in_unit(bands.mean_band(sums), per).frame(np.array(text.store.steps), "value")
    frame.insert(0, "run", str(text.store.path))
    frame.insert(5, "n_words", len(places))
    frame.insert(6, "n_bytes", int(text.frame["n_bytes"].to_numpy()[places].sum()))
    frame.insert(7, "n_docs", sums.n_docs)
    return frame


def _in_unit(band: bands.Band, per: Per) -> bands.Band:
    """Nats as bits, if it is per byte."""
    scale = 1 / np.log(2) if per == "byte" else 1.0
    parts = {n: getattr(band, n) * scale for n in ("estimate", "low", "high", "standard_error")}
    return replace(band, **parts)


def _differences(
    runs: list[Store], texts: list[Words], sums: list[GroupSums], per: Per
) -> pd.DataFrame:
    """Sources are matched by name, since each store counts its own."""
    names = runs[0].sources
    last = [_by_source(s, t.store.sources, names) for s, t in zip(sums, texts, strict=True)]
    frames = []
    for run, of_run in zip(runs[1:], last[1:], strict=True):
        band = _in_unit(bands.difference_band(of_run, last[0]), per)
        frame = band.frame(np.array(run.steps[-1:]), "difference")
        frame.insert(0, "run", str(run.path))
        frame.insert(1, "baseline", str(runs[0].path))
        frame.insert(3, "baseline_checkpoint", runs[0].steps[-1])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _by_source(sums: GroupSums, sources: list[str], names: list[str]) -> GroupSums:
    """The sums at the last checkpoint, in the order of `names`."""
    place = pd.Index(sources).get_indexer(pd.Index(names))
    known = place >= 0
    counts = np.where(known, sums.counts[place], 0)
    return GroupSums(counts, np.where(known, sums.sums[place, -1], 0.0)[:, None])


def _word_losses(texts: list[Words], places: list[np.ndarray]) -> pd.DataFrame:
    first, second = (
        text.losses(text.store.steps[-1])[at]
        for text, at in zip(texts[:2], places[:2], strict=True)
    )
    frame = texts[0].frame.iloc[places[0]][["source", "word", "prev_text", "text"]]
    frame = frame.assign(first_loss=first, second_loss=second, difference=second - first)
    order = frame["difference"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)
