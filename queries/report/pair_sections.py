"""Sections of Figures 1 to 6: pairs of groups, their curves and findings."""

from collections.abc import Iterator, Sequence

import pandas as pd

from queries.analyses.matched import matched
from queries.analyses.positions import position_slope
from queries.catalog import sql_scripts
from queries.errors import QueryError
from queries.report import numbers, sentences
from queries.report.model import DIFFERENCE, MEANS, Exhibit, Section
from queries.report.numbers import better, count, listed
from queries.report.pairs import Pair, Question, Reader, positions, surnames, words

LINES = "Lines: mean loss in nats at every checkpoint."
BANDS = "Bands: 95% for each checkpoint separately, with source documents as the sampled unit."
NO_BANDS = "No band is drawn: a group has too few source documents for one."
DIFFERENCES = (
    "Line: mean loss of the first group minus that of the second, in nats; below the dashed zero "
    "line, the first group is predicted better."
)
WIDE = "The pale band is simultaneous: it holds at all checkpoints together."

PALE = "the pale band is computed in Python, by queries/stats/simultaneous_bands.py"


def sections(reader: Reader) -> Iterator[Section]:
    """The three questions in all variants, each when it has been computed."""
    few = reader.group("", "surnames_report").size.n_docs < sentences.FEW_DOCS
    questions = (
        ("position", "Does more context help?", positions(reader.store), ""),
        ("words", "Are tokens inside words learned differently from word starts?", words(), ""),
        (
            "surnames",
            "Are presidents' surnames learned differently from other tokens?",
            surnames(reader.store, few),
            _few(reader) if few else "",
        ),
    )
    for key, question, variants, note in questions:
        for at, variant in enumerate(variants):
            letter = f"{key}{variant.letter}"
            yield _section(reader, letter, question, variant, note if at == 0 else "")


def _few(reader: Reader) -> str:
    six = reader.group("", "surnames_report").size
    if not six.n_tokens:
        return "None of the six surnames occurs in this text, so all presidents' are shown too."
    return (
        f"The six surnames have {count(six.n_tokens, 'token')} in "
        f"{count(six.n_docs, 'source document')} of this text, which is too few, so those "
        "of all presidents are shown too."
    )


def _section(reader: Reader, key: str, question: str, variant: Question, note: str) -> Section:
    groups = reader.group(*variant.first), reader.group(*variant.second)
    names = [f"{n}{variant.letter}" for n in variant.numbers]
    title = f"Figures {' and '.join(names)}: {question} ({variant.heading})"
    ask = f"Are {variant.first[0]} learned differently from {variant.second[0]}?"
    sizes = tuple(group.size for group in groups)
    notes = (note,) if note else ()
    pair = reader.pair(*groups)
    if pair is None:
        return Section(
            key,
            title,
            ask,
            sizes,
            seen=(*notes, f"Not shown: {variant.absent}."),
            missing=(f"{title.partition(':')[0]}: {variant.absent}.",),
        )
    return Section(
        key,
        title,
        ask,
        sizes,
        _exhibits(reader, pair, names),
        (*notes, *sentences.sentences(pair), *_further(reader, pair, key, variant)),
        sentences.of_pair(reader.store, key, pair),
        _missing(pair, names),
        numbers=_numbers(pair),
    )


def _further(reader: Reader, pair: Pair, key: str, variant: Question) -> Sequence[str]:
    """What another analysis adds to the comparison of the two groups."""
    if variant.rare:
        return _matched(reader, pair)
    if key == "position" and not pair.verdict and sentences.separation(pair).first is None:
        return sentences.slope(pair, position_slope(reader.store).frame)
    return ()


def _matched(reader: Reader, pair: Pair) -> tuple[str, ...]:
    """Comparison with controls of the same rarity, position and difficulty: surnames are rare."""
    if pair.verdict:
        return ()
    try:
        found = matched(reader.store, pair.first.clause)
    except QueryError as error:  # no token matches any of them
        return (f"Not compared with equally rare tokens: {error}.",)
    last = found.difference.iloc[-1]
    if last["verdict"]:
        why = last["verdict"].removeprefix("cannot tell: ")
        return (f"Whether they differ from equally rare tokens cannot be determined: {why}.",)
    n = pair.first.size.n_tokens
    band = numbers.band(last["low"], last["high"])
    left_out = f" ({found.n_unmatched:,} of {n:,} have none)" if found.n_unmatched else ""
    return (
        "Compared with tokens of similar frequency, position and loss early in training"
        f"{left_out}, they end {better(last['difference'])} ({band}{_not_detected(last)}).",
    )


def _not_detected(last: pd.Series) -> str:
    if last["low"] > 0 or last["high"] < 0:
        return ""
    size = numbers.plain(last["detectable"])
    return f", not different from zero; less than {size} nats would usually not be detected"


def _exhibits(reader: Reader, pair: Pair, names: Sequence[str]) -> tuple[Exhibit, ...]:
    means, differences = pair.means(), pair.differences()
    groups = {group.name: group.clause for group in (pair.first, pair.second)}
    first, second = groups
    script = sql_scripts.comparison(
        reader.store, "difference", {first: groups[first]}, groups[second]
    )
    return (
        Exhibit(
            names[0],
            f"Mean loss: {first}, {second}",
            MEANS,
            means,
            sql_scripts.trajectories(reader.store, groups),
            f"{LINES} {bands(means)}",
        ),
        Exhibit(
            names[1],
            f"Difference: {first} minus {second}",
            DIFFERENCE,
            differences,
            f"-- {PALE}\n{script}",
            f"{DIFFERENCES} {bands(differences, 'everywhere_low', WIDE)}",
        ),
    )


def bands(frame: pd.DataFrame, wide: str = "low", meaning: str = "") -> str:
    """What the bands of a figure mean, if it has any; `wide` is the column of a second one."""
    if frame["low"].isna().all():
        return NO_BANDS
    found = [BANDS]
    if wide in frame and frame[wide].notna().any():
        found.append(meaning)
    if "token_group" in frame:
        drawn = frame.groupby("token_group", sort=False)["low"].count()
        if without := [str(name) for name in drawn.index[drawn == 0]]:
            found.append(f"No band for {listed(without)}: too few source documents.")
    return " ".join(found)


def _missing(pair: Pair, names: Sequence[str]) -> tuple[str, ...]:
    if pair.verdict:
        why = f"one group has {pair.verdict.removeprefix('cannot tell: ')}"
    elif sentences.separation(pair).first is None:
        why = (
            f"{pair.first.name} are statistically indistinguishable from {pair.second.name} "
            f"({count(pair.first.size.n_tokens, 'token')} against "
            f"{pair.second.size.n_tokens:,}, {count(pair.n_docs, 'source document')})"
        )
    else:
        return ()
    return (f"Figures {' and '.join(names)}: {why}.",)


def _numbers(pair: Pair) -> dict[str, object]:
    found = None if pair.verdict else sentences.separation(pair)
    fastest = pair.fastest if found and found.first is not None else None
    band = pair.band
    return {
        "last_step": int(pair.steps[-1]),
        "last_difference": float(band.estimate[-1]),
        "last_low": float(band.low[-1]),
        "last_high": float(band.high[-1]),
        "first_told_apart": found.first if found else None,
        "told_apart_since": found.since if found else None,
        "n_below": int(found.below.sum()) if found else 0,
        "n_above": int(found.above.sum()) if found else 0,
        "fastest_first": fastest[0] if fastest else None,
        "fastest_last": fastest[1] if fastest else None,
    }
