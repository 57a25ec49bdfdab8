"""What is seen in a region's changes, token by token, in sentences."""

from collections.abc import Hashable

import numpy as np
import pandas as pd
from scipy import stats

from queries.overlaps import usual_regions
from queries.regions import Region
from queries.report.words import band, chance, count, number, plain, share, signed, span, step
from queries.statistics import LEVEL
from queries.store import Store
from queries.zoom import Zoom, region_change

FEATURES = (
    ("copyable (the last three tokens stood together earlier in the doc)", "copyable"),
    ("word starts", "word_start"),
)


def histogram(store: Store, zoom: Zoom, avoid: Region) -> list[str]:
    """How many got worse or better, with a band; how far; and what is usual elsewhere."""
    change = zoom.changes["change"].to_numpy(np.float64)
    rose, fell = (change > 0).mean(), (change < 0).mean()
    low, high = share_band(change > 0, store.source_of_row)
    sure = f" (95 % band {share(low, 1)} to {share(high, 1)})" if np.isfinite(low) else ""
    ends = np.quantile(change, [0.01, 0.99])
    told = [
        f"From step {step(zoom.first)} to {step(zoom.last)}, {share(rose, 1)} of {len(change):,} "
        f"tokens get worse{sure}, {share(fell, 1)} better; the mean change is "
        f"{signed(change.mean())} nats, the median {signed(float(np.median(change)))}.",
        f"One token in a hundred changes by {number(ends[0])} nats or lower, one in a hundred by "
        f"{signed(ends[1])} or higher; the extremes are {band(change.min(), change.max())}.",
    ]
    return [*told, *_usual(store, zoom, avoid, change)]


def _usual(store: Store, zoom: Zoom, avoid: Region, change: np.ndarray) -> list[str]:
    regions = usual_regions(np.array(store.steps), (zoom.first, zoom.last), avoid)
    if not regions:
        return ["There is no other region of as many checkpoints to compare with."]
    rows = np.arange(store.manifest.n_tokens)
    others = [region_change(store.matrix, rows, region) for region in regions]
    worse = [float((other > 0).mean()) for other in others]
    spread = [float(other.std()) for other in others]
    return [
        f"In the {count(len(regions), 'other region')} of as many checkpoints nearest to it, "
        f"{share(min(worse))} to {share(max(worse))} get worse, and changes have a standard "
        f"deviation of {plain(min(spread))} to {plain(max(spread))} nats; here it is "
        f"{plain(float(change.std()))}."
    ]


def share_band(chosen: np.ndarray, source_of_row: np.ndarray) -> tuple[float, float]:
    """95 % band of the share of true values, bool (tokens,), over source documents.

    The cluster-robust error of a mean, as in `queries.statistics`; NaN for one document.
    """
    counts = np.bincount(source_of_row)
    hits = np.bincount(source_of_row, chosen)
    n = len(counts)
    if n < 2:
        return np.nan, np.nan
    mean = hits.sum() / counts.sum()
    influence = (hits - counts * mean) / counts.sum()
    error = np.sqrt(n / (n - 1) * (influence**2).sum())
    reach = stats.t.ppf((1 + LEVEL) / 2, n - 1) * error
    return float(max(mean - reach, 0)), float(min(mean + reach, 1))


def trajectories(store: Store, zoom: Zoom) -> list[str]:
    """The extreme tokens against the random ones: how far, what they are, and when half-way."""
    told = []
    for name, word in (("decreased", "fell"), ("increased", "rose")):
        chosen = getattr(zoom, name)
        if chosen.empty:
            told.append(f"No token {word}.")
            continue
        change = chosen.drop_duplicates("row")["change"].abs()
        told.append(
            f"The {len(change)} tokens that {word} most {word} by {plain(change.min())} to "
            f"{plain(change.max())} nats. {_features(store, chosen['row'].unique())}"
        )
    half = {name: _half_way(getattr(zoom, name), zoom) for name in ("decreased", "increased")}
    if all(half.values()):
        told.append(
            f"Half of their mean fall is done at step {step(half['decreased'] or 0)}, half of the "
            f"mean rise at step {step(half['increased'] or 0)}. That the two part is no "
            "finding, as they were chosen for it."
        )
    return told


def _features(store: Store, rows: np.ndarray) -> str:
    parts = []
    for name, group in FEATURES:
        members = store.members(group)
        here, all_over = float(np.isin(rows, members).mean()), len(members) / len(store.facts)
        parts.append(f"{share(here)} are {name}; of all tokens {share(all_over)}")
    return ". ".join(parts) + "."


def _half_way(tokens: pd.DataFrame, zoom: Zoom) -> int | None:
    """The first step at which the tokens' mean has done half of its way in the region."""
    mean = tokens.groupby("checkpoint")["loss"].mean()
    mean = mean[(mean.index >= zoom.first) & (mean.index <= zoom.last)]
    if len(mean) < 3:
        return None
    done = (mean - mean.iloc[0]) / (mean.iloc[-1] - mean.iloc[0])
    return int(done.index[int((done >= 0.5).to_numpy().argmax())])


def overlap(shared: pd.DataFrame, first: Region, second: Region) -> list[str]:
    """Lists that change in the one and back in the other, beside both nulls."""
    told = []
    for line in shared[shared["set_in_first"] != shared["set_in_second"]].to_dict("records"):
        if not min(line["k_first"], line["k_second"]):
            told.append(f"No token {line['set_in_first']} in one of the regions.")
            continue
        text = (
            f"Of the {line['k_first']} tokens that {line['set_in_first']} most in {span(*first)}, "
            f"{line['shared']} are among the {line['k_second']} that {line['set_in_second']} most "
            f"in {span(*second)}. Chance alone would give {plain(line['expected'])} "
            f"({chance(line['p_value'])})"
        )
        if np.isfinite(line["p_usual"]):
            text += (
                f"; {plain(line['expected_usual'], 1)} would be usual, as some tokens always move "
                f"more ({chance(line['p_usual'])}, over {line['n_regions']} regions)"
            )
        told.append(f"{text}. {_verdict(line)}")
    return told


def _verdict(line: dict[Hashable, float]) -> str:
    if not np.isfinite(line["p_usual"]):
        return "There is no other region to say what is usual."
    if line["p_usual"] < 1 - LEVEL:
        return "That is more than usual: the same tokens go and come back."
    if line["p_value"] < 1 - LEVEL:
        return "That is no more than usual: these tokens move a lot anywhere."
    return "That is not more than chance gives."
