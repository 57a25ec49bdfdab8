"""Sections of Figures 1 to 6: pairs of groups, their curves and what they say."""

from collections.abc import Sequence

from queries.analyses.matched import matched
from queries.catalog import sql_scripts
from queries.errors import QueryError
from queries.report import sentences
from queries.report.model import DIFFERENCE, MEANS, Exhibit, Section
from queries.report.numbers import band, better, count
from queries.report.pairs import Pair, Question, Reader, positions, surnames, words
from queries.stats.simultaneous_bands import FEWEST_DOCS

BANDS = "Bands: 95 % for each checkpoint by itself, source documents as the sampled unit."
WIDE = (
    f"{BANDS} The pale band holds at all checkpoints at once. Below the dashed line the first "
    "group is predicted better."
)


def sections(reader: Reader) -> list[Section]:
    """The three questions in all their forms."""
    few = reader.group("", "surnames_report").asked.n_docs < sentences.FEW_DOCS
    asked = (
        ("position", "Does more context help?", positions(reader.store), ""),
        ("words", "Are tokens inside of words learned otherwise than word starts?", words(), ""),
        (
            "surnames",
            "Are presidents' surnames learned otherwise than other tokens?",
            surnames(reader.store, few),
            _few(reader) if few else "",
        ),
    )
    found = []
    for key, question, variants, note in asked:
        for at, variant in enumerate(variants):
            found.append(
                _section(
                    reader, f"{key}{variant.letter}", question, variant, note if at == 0 else ""
                )
            )
    return found


def _few(reader: Reader) -> str:
    six = reader.group("", "surnames_report").asked
    if not six.n_tokens:
        return "None of the six surnames occurs in this text, so all presidents' are shown as well."
    return (
        f"The six surnames have {count(six.n_tokens, 'token')} in "
        f"{count(six.n_docs, 'source document')} of this text, too few to say much, so all "
        "presidents' are shown as well."
    )


def _section(reader: Reader, key: str, question: str, variant: Question, note: str) -> Section:
    groups = reader.group(*variant.first), reader.group(*variant.second)
    names = [f"{n}{variant.letter}" for n in variant.numbers]
    title = f"Figures {' and '.join(names)}: {question} ({variant.heading})"
    ask = f"Are {variant.first[0]} learned otherwise than {variant.second[0]}?"
    asked = tuple(group.asked for group in groups)
    notes = (note,) if note else ()
    pair = reader.pair(*groups)
    if pair is None:
        return Section(
            key,
            title,
            ask,
            asked,
            seen=(*notes, f"Nothing: {variant.absent}."),
            missing=(f"{title.partition(':')[0]}: {variant.absent}.",),
        )
    return Section(
        key,
        title,
        ask,
        asked,
        _exhibits(reader, pair, names),
        (*notes, *sentences.sentences(pair), *(_fair(reader, pair) if variant.rare else ())),
        sentences.of_pair(reader.store, key, pair),
        _missing(pair, names),
        numbers=_numbers(pair),
    )


def _fair(reader: Reader, pair: Pair) -> tuple[str, ...]:
    """Beside controls of the same rarity, place and difficulty; surnames are rare words."""
    if pair.n_docs < FEWEST_DOCS:
        return ()
    try:
        fair = matched(reader.store, pair.first.clause)
    except QueryError as error:  # no token is like any of them
        return (f"Not compared with tokens as rare: {error}.",)
    last = fair.difference.iloc[-1]
    n = pair.first.asked.n_tokens
    left_out = f" ({fair.n_unmatched:,} of {n:,} have none)" if fair.n_unmatched else ""
    return (
        f"Beside tokens of like frequency, position and loss at the first checkpoint{left_out}, "
        f"they end {better(last['difference'])} ({band(last['low'], last['high'])}).",
    )


def _exhibits(reader: Reader, pair: Pair, names: Sequence[str]) -> tuple[Exhibit, ...]:
    means, differences = pair.means(), pair.differences()
    groups = {group.name: group.clause for group in (pair.first, pair.second)}
    first, second = groups
    script = sql_scripts.comparison(
        reader.store, "difference", {first: groups[first]}, groups[second]
    )
    return (
        Exhibit(names[0], f"Mean loss: {first}, {second}", MEANS, means,
                sql_scripts.trajectories(reader.store, groups), BANDS),
        Exhibit(names[1], f"Difference: {first} minus {second}", DIFFERENCE, differences,
                f"-- the pale band is made in Python: queries/simultaneous.py\n{script}", WIDE),
    )  # fmt: skip


def _missing(pair: Pair, names: Sequence[str]) -> tuple[str, ...]:
    if pair.n_docs < FEWEST_DOCS:
        why = f"one group is in {count(pair.n_docs, 'source document')}, too few to claim anything"
    elif sentences.apart(pair).first is None:
        why = (
            f"{pair.first.name} are never told apart from {pair.second.name} "
            f"({count(pair.first.asked.n_tokens, 'token')} against "
            f"{pair.second.asked.n_tokens:,}, {count(pair.n_docs, 'source document')})"
        )
    else:
        return ()
    return (f"Figures {' and '.join(names)}: {why}.",)


def _numbers(pair: Pair) -> dict[str, object]:
    found = sentences.apart(pair) if pair.n_docs >= FEWEST_DOCS else None
    fastest = pair.fastest if found and found.first is not None else None
    last = {name: float(getattr(pair.band, name)[-1]) for name in ("estimate", "low", "high")}
    return {
        "last_step": int(pair.steps[-1]),
        "last_difference": last["estimate"],
        "last_low": last["low"],
        "last_high": last["high"],
        "first_told_apart": found.first if found else None,
        "told_apart_since": found.since if found else None,
        "n_below": int(found.below.sum()) if found else 0,
        "n_above": int(found.above.sum()) if found else 0,
        "fastest_first": fastest[0] if fastest else None,
        "fastest_last": fastest[1] if fastest else None,
    }
