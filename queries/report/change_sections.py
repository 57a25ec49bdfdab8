"""Sections of Figures 7 to 10: zoom into a region that was found, and into what follows it."""

from dataclasses import dataclass

import pandas as pd

from queries import behind
from queries.overlaps import overlap
from queries.regions import Region
from queries.report import changes_told, original, pictures
from queries.report.nouns import HISTOGRAM, TOKENS, Asked, Exhibit, Section
from queries.report.region import Chosen
from queries.report.words import span
from queries.store import Store
from queries.zoom import Zoom

TOP = 50
LINES = 5
_LISTS = dict(zip(("decreased", "increased", "random"), pictures.LISTS, strict=True))
_QUESTIONS = {
    "spike": "What happens inside of a loss spike?",
    "hump": "What happens where the loss rises and falls again?",
    "fastest_fall": "What happens where the loss falls fastest?",
    "largest_rise": "What happens where the loss rises most?",
    "whole_run": "What happens from the first checkpoint to the last?",
}

NO_CHANGE = "This store has one checkpoint, and a change needs two."


@dataclass(frozen=True)
class _Zoomed:
    """What a section of the report says of one region."""

    exhibits: tuple[Exhibit, ...]
    seen: tuple[str, ...]
    tables: dict[str, pd.DataFrame]
    numbers: dict[str, float]


def sections(store: Store, chosen: Chosen | None) -> list[Section]:
    """Figures 7 and 8 of the region, 9 and 10 of what follows."""
    if chosen is None:
        return [Section("region", "Figures 7 to 10: What happens in a loss spike?",
                        "Which tokens get worse, which better?", seen=(NO_CHANGE,),
                        missing=(f"Figures 7 to 10: {NO_CHANGE}",))]  # fmt: skip
    question = _QUESTIONS[chosen.kind]
    first = _region(store, chosen.region, chosen.after, ("7", "8"))
    found = [
        Section(
            "region", f"Figures 7 and 8: {question}",
            f"Which tokens get worse and which better in {span(*chosen.region)}?",
            (all_tokens(store),), first.exhibits, (*chosen.seen, *first.seen),
            original.of_spike(store, chosen.region, first.numbers["median_change"]),
            tuple(f"Figures 7 to 10: {told}" for told in chosen.missing), first.tables,
            {"kind": chosen.kind, "first": chosen.region[0], "last": chosen.region[1],
             **first.numbers},
        ),
        _after(store, chosen),
    ]  # fmt: skip
    return found


def _after(store: Store, chosen: Chosen) -> Section:
    title = "Figures 9 and 10: And in what follows? Are the same tokens moved back?"
    if chosen.after is None:
        none = "nothing follows the region that could be compared with it."
        return Section("after", title, "Do the same tokens change again?", seen=(
            none.capitalize(),), missing=(f"Figures 9 and 10: {none}",))  # fmt: skip
    second = _region(store, chosen.after, chosen.region, ("9", "10"))
    shared = overlap(store, chosen.region, chosen.after, k=TOP)
    lines = zip(shared["set_in_first"], shared["set_in_second"], shared["shared"], strict=True)
    counts = {(a, b): int(n) for a, b, n in lines if a != b}
    ask = (
        f"Are the tokens that moved most in {span(*chosen.region)} those that move back most in "
        f"{span(*chosen.after)}? (The step between is in one of them only.)"
    )
    return Section(
        "after", title, ask, (all_tokens(store),), second.exhibits,
        (*second.seen, *changes_told.overlap(shared, chosen.region, chosen.after)),
        original.of_overlap(store, counts, TOP), tables={"Shared tokens": shared, **second.tables},
        numbers={"first": chosen.after[0], "last": chosen.after[1], **second.numbers,
                 **{f"{a}_then_{b}": n for (a, b), n in counts.items()}},
    )  # fmt: skip


def all_tokens(store: Store) -> Asked:
    """The group of everything."""
    return Asked("all tokens", "true", store.manifest.n_tokens, len(store.sources))


def _region(
    store: Store, region: Region, avoid: Region | None, numbers: tuple[str, str]
) -> _Zoomed:
    """Zoom into a region; `avoid` is another one, which tells nothing of what is usual."""
    zoom = store.zoom(*region, k=TOP)
    seen = changes_told.histogram(store, zoom, avoid or region)
    seen += changes_told.trajectories(store, zoom)
    exhibits = _histogram(store, zoom, numbers[0]), _tokens(store, zoom, numbers[1])
    tables = {_LISTS[name]: _in_text(store, getattr(zoom, name)) for name in _LISTS}
    change = zoom.changes["change"]
    told = {"mean_change": float(change.mean()), "median_change": float(change.median()),
            "share_rose": float((change > 0).mean())}  # fmt: skip
    return _Zoomed(exhibits, tuple(seen), tables, told)


def _histogram(store: Store, zoom: Zoom, number: str) -> Exhibit:
    return Exhibit(
        number, f"Change in loss of every token from step {zoom.first:,} to {zoom.last:,}",
        HISTOGRAM, zoom.histogram, pictures.histogram(zoom.histogram),
        behind.histogram_sql(store, zoom.first, zoom.last, "true"),
        "100 bins, zero on an edge.", (zoom.first, zoom.last),
    )  # fmt: skip


def _tokens(store: Store, zoom: Zoom, number: str) -> Exhibit:
    heads = [_head(getattr(zoom, name)).assign(token_list=_LISTS[name]) for name in _LISTS]
    frame = pd.concat(heads, ignore_index=True)
    width = zoom.last - zoom.first
    near = frame["checkpoint"].between(zoom.first - width, zoom.last + width)
    shown = frame[near].reset_index(drop=True)
    return Exhibit(
        number, f"Losses of single tokens around steps {zoom.first:,} to {zoom.last:,}",
        TOKENS, shown, pictures.tokens(shown, (zoom.first, zoom.last)),
        behind.token_trajectories_sql(frame["row"].unique()),
        f"The first {LINES} tokens of each list; the region is shaded.", (zoom.first, zoom.last),
    )  # fmt: skip


def _head(tokens: pd.DataFrame) -> pd.DataFrame:
    return tokens[tokens["row"].isin(tokens["row"].unique()[:LINES])]


def _in_text(store: Store, tokens: pd.DataFrame) -> pd.DataFrame:
    """The first tokens of a list: change, before, token, after, source, position, row."""
    chosen = tokens.drop_duplicates("row").head(LINES)[["row", "change"]]
    context = store.context(chosen["row"].to_numpy(), before=40, after=20)
    found = chosen.merge(context.drop_duplicates("row"), on="row", how="left")
    return found[["change", "before", "token", "after", "source", "position", "row"]]
