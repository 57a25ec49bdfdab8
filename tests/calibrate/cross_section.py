"""How often bands, comparisons, overlaps and clusters are wrong in designs whose truth is known.

Each design is a trial: a function of a random generator that returns an `Outcome`. `calibrate` runs
trials of many designs and returns one row a design.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import pandas as pd
from scipy import signal

from queries.analyses.explain import explanations
from queries.analyses.matched import Covariate, Part, initial_losses, part_curves
from queries.analyses.overlap import Units, overlaps
from queries.engine.matrix import BLOCK, LossMatrix
from queries.engine.sums import GroupSums, Summation
from queries.groups.candidates import Candidates
from queries.stats import bands, cluster_number, matching, two_way
from queries.stats.simultaneous_bands import simultaneous_band

EFFECT = 0.3
"""Nats: planted differences."""
LENGTH = 100
"""Tokens of the median document in the designs of bands."""
ENOUGH = 25
"""Documents from which 0.3 nats must usually be found; fewer cannot, whatever the test."""
RUNS = 10
"""Independent losses of each text, which stand side by side as if they were checkpoints."""


@dataclass(frozen=True)
class Outcome:
    """What one trial found; shares of 0 to 1."""

    wrong: float = np.nan
    """False claims, or truths outside of their bands; NaN if the answer is "cannot tell"."""
    found: float = np.nan
    """Of planted effects; NaN if none was planted."""


@dataclass(frozen=True)
class Design:
    """A way to make up a text and its losses, and the procedure that is tried on it."""

    procedure: str
    name: str
    trial: Callable[[np.random.Generator], Outcome]
    effect: str = ""
    """What was planted to measure power."""
    covers: bool = False
    """Is 1 - wrong a coverage?"""
    cost: float = 1.0
    """Trials are n_trials / cost."""
    easy: bool = False
    """Must the procedure give an answer in 80% of trials?"""
    asked: bool = True
    """Must a planted effect be found in 80% of trials?"""


def calibrate(
    designs: Iterable[Design], n_trials: int, seed: int = 0, workers: int = 1
) -> pd.DataFrame:
    """One row a design: procedure, design, n_trials, measure, rate, monte_carlo_error, cannot_tell,
    power, effect.

    The measure is "coverage" or "false claims"; its rate is over trials with an answer, and
    `cannot_tell` the share of the others.
    """
    designs = list(designs)
    jobs = [
        (design, max(2, round(n_trials / design.cost)), [seed, place])
        for place, design in enumerate(designs)
    ]
    if workers == 1:
        return pd.DataFrame([_row(*job) for job in jobs])
    with get_context("spawn").Pool(workers) as pool:  # a fork would have no threads of `sums`
        return pd.DataFrame(pool.starmap(_row, jobs, chunksize=1))


def _row(design: Design, n_trials: int, seed: list[int]) -> dict[str, object]:
    rngs = np.random.default_rng(seed).spawn(n_trials)
    outcomes = [design.trial(rng) for rng in rngs]
    wrong = np.array([outcome.wrong for outcome in outcomes])
    told = wrong[np.isfinite(wrong)]
    found = np.array([outcome.found for outcome in outcomes])
    power = float(np.nanmean(found)) if np.isfinite(found).any() else np.nan
    rate = float(told.mean()) if len(told) else np.nan
    return {
        "procedure": design.procedure,
        "design": design.name,
        "n_trials": n_trials,
        "measure": "coverage" if design.covers else "false claims",
        "rate": 1 - rate if design.covers else rate,
        "monte_carlo_error": _error(told),
        "cannot_tell": 1 - len(told) / n_trials,
        "power": power,
        "effect": design.effect,
    }


def _error(told: np.ndarray) -> float:
    """Of their mean; as if one trial more had gone either way, so that it is never 0."""
    if not len(told):
        return np.nan
    return float(np.std([*told, 0.0, 1.0]) / np.sqrt(len(told)))


# Bands of means and differences.


def lengths(n_docs: int, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Tokens of documents, at least 4, whose log has the standard deviation `spread`."""
    drawn = LENGTH * np.exp(rng.normal(0, spread, n_docs))
    lengths: np.ndarray = np.maximum(drawn, 4).astype(np.int64)
    return lengths


@dataclass(frozen=True)
class Noise:
    """How losses vary: standard deviations in nats, of documents and of tokens."""

    document: float = 0.0
    own: float = 0.0
    """Of documents' differences between the groups."""
    heavy: bool = False
    """Student's t with 3 degrees of freedom instead of normal."""
    along: float = 0.0
    """Autocorrelation of tokens along their document."""

    def draw(self, source: np.ndarray, first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Losses less their expectation, float64 (tokens, RUNS)."""
        n_docs = int(source.max()) + 1
        tokens = self._drawn((len(source), RUNS), rng)
        if self.along:
            starts = np.flatnonzero(np.diff(source)) + 1
            documents = np.split(tokens, starts)
            tokens = np.concatenate([_along(document.T, self.along).T for document in documents])
        level, gap = self._drawn((2, n_docs, RUNS), rng)
        sign = np.where(first, 0.5, -0.5)[:, None]
        noise: np.ndarray = tokens + self.document * level[source] + self.own * sign * gap[source]
        return noise

    def _drawn(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.standard_t(3, shape) / np.sqrt(3) if self.heavy else rng.normal(0, 1, shape)


NOISES = {
    "independent tokens": Noise(),
    "documents": Noise(document=0.3),
    "documents and gaps": Noise(document=0.3, own=0.3),
    "t3": Noise(document=0.2, own=0.2, heavy=True),
    "tokens AR 0.9": Noise(along=0.9),
}


def in_some(source: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Is each token in the first group? In `share` of the documents, at rates of their own."""
    n_docs = int(source.max()) + 1
    rates = np.where(rng.permutation(n_docs) < np.ceil(share * n_docs), rng.beta(4, 6, n_docs), 0)
    chosen: np.ndarray = rng.random(len(source)) < rates[source]
    return chosen


def summed(losses: np.ndarray, source: np.ndarray, n_docs: int) -> GroupSums:
    """`losses` float64 (tokens, checkpoints), summed by source."""
    sums = [np.bincount(source, column, n_docs) for column in losses.T]
    return GroupSums(np.bincount(source, minlength=n_docs), np.stack(sums, axis=1))


def band_trial(
    rng: np.random.Generator,
    *,
    n_docs: int,
    spread: float,
    noise: str,
    share: float,
    what: str,
    method: bands.Method = "cv3",
) -> Outcome:
    """Do the bands of a mean, or of a difference of means, hold the true one, 0?"""
    source = np.repeat(np.arange(n_docs), lengths(n_docs, spread, rng))
    first = in_some(source, share, rng)
    losses = NOISES[noise].draw(source, first, rng)
    one, two = (summed(losses[part], source[part], n_docs) for part in (first, ~first))
    if what == "difference":
        found = bands.difference_band(one, two, method)
    else:
        found = bands.mean_band(one, method)
    if found.verdict:
        return Outcome()
    wrong = float(np.mean((found.low > 0) | (found.high < 0)))
    return Outcome(wrong, float(np.mean(found.low + EFFECT > 0)))


def band_designs(method: bands.Method = "cv3") -> list[Design]:
    return [
        Design(
            f"band of a {what}" + ("" if method == "cv3" else f" ({method})"),
            f"{n_docs} documents, log-length sd {spread:g}, {noise}, group in {share:.0%} of them",
            partial(
                band_trial,
                n_docs=n_docs,
                spread=spread,
                noise=noise,
                share=share,
                what=what,
                method=method,
            ),
            effect=f"{EFFECT:g} nats",
            covers=True,
            easy=spread == 0 and share == 1,
            asked=n_docs >= ENOUGH and noise != "tokens AR 0.9",
        )
        for what in ("mean", "difference")
        for n_docs, spread in (
            *((n_docs, spread) for n_docs in (5, 10, 30, 100) for spread in (0, 0.5, 1, 1.5)),
            (8, 1.2),
            (15, 1.2),
        )
        for noise in NOISES
        for share in (1.0, 0.5)
        if share == 1 or noise == "documents"
    ]


# Bands for all checkpoints at once.


def along_checkpoints(
    shape: tuple[int, ...], coefficient: float, rng: np.random.Generator
) -> np.ndarray:
    """AR(1) noise along the last axis, of standard deviation 1."""
    return _along(rng.normal(0, 1, shape), coefficient)


def _along(shocks: np.ndarray, coefficient: float) -> np.ndarray:
    """The stationary AR(1) process of unit variance that these shocks make along the last axis."""
    scaled = shocks * np.sqrt(1 - coefficient**2)
    scaled[..., 0] = shocks[..., 0]
    noise: np.ndarray = signal.lfilter([1.0], [1.0, -coefficient], scaled)
    return noise


def everywhere_trial(
    rng: np.random.Generator, *, n_docs: int, spread: float, gap: float, n_checkpoints: int = 60
) -> Outcome:
    """Is a difference claimed at any checkpoint without one, and at most of those with 0.3 nats?"""
    n = lengths(n_docs, spread, rng)
    first = np.maximum(rng.binomial(n, rng.beta(4, 6, n_docs)), 1)
    counts = (first, np.maximum(n - first, 1))
    level, *own = along_checkpoints((3, n_docs, n_checkpoints), 0.9, rng)
    means = [0.2 * level + gap * document for document in own]
    tokens = [along_checkpoints(level.shape, 0.5, rng) for _ in counts]
    sums = [
        c[:, None] * m + np.sqrt(c)[:, None] * t
        for c, m, t in zip(counts, means, tokens, strict=True)
    ]
    two = GroupSums(counts[1], sums[1])
    found = simultaneous_band(GroupSums(counts[0], sums[0]), two)
    if found.verdict:
        return Outcome()
    shifted = found.low + EFFECT > 0
    return Outcome(float(((found.low > 0) | (found.high < 0)).any()), float(shifted.any()))


def everywhere_designs() -> list[Design]:
    return [
        Design(
            "simultaneous band",
            f"{n_docs} documents, log-length sd {spread:g}, gaps sd {gap:g}",
            partial(everywhere_trial, n_docs=n_docs, spread=spread, gap=gap),
            effect=f"{EFFECT:g} nats, claimed at any checkpoint",
            easy=n_docs >= 25 and spread == 0,
        )
        for n_docs in (10, 25, 100)
        for spread in (0, 1, 1.5)
        for gap in (0, 0.2)
    ]


# Which groups explain a region?

OCCURRENCE = 1.04
"""Nats: standard deviation of the changes of single occurrences in the demo's spike."""


def explain_trial(
    rng: np.random.Generator,
    *,
    n_docs: int,
    spread: float,
    types: float,
    heavy: bool = False,
    document: float = 0.1,
    tokens: int = 50_000,
    n_types: int = 400,
    claim: two_way.Claim = "both",
) -> Outcome:
    """Is any group of a leaderboard claimed at q < 0.05? Then a tenth of the tokens are shifted."""
    share = np.exp(rng.normal(0, spread, n_docs))
    n = np.maximum(20, tokens * share / share.sum()).astype(np.int64)
    source, position = np.repeat(np.arange(n_docs), n), np.concatenate([np.arange(m) for m in n])
    frequency = 1 / np.arange(3, n_types + 3)
    token_type = rng.choice(n_types, len(source), p=frequency / frequency.sum())
    change = document * rng.normal(0, 1, n_docs)[source]
    change += types * rng.normal(0, 1, n_types)[token_type]
    shocks = rng.standard_t(3, len(source)) / np.sqrt(3) if heavy else rng.normal(0, 1, len(source))
    change += OCCURRENCE * shocks
    tried = [_named(label) for label in _labels(source, position, token_type, rng)]
    found = explanations(tried, two_way.Changes(change, source, token_type), 20, claim)
    if found["q_value"].isna().all():
        return Outcome()
    planted = rng.random(len(source)) < 0.1
    changes = two_way.Changes(change + EFFECT * planted, source, token_type)
    tried = [_named(np.where(planted, 0, -1), "planted"), *tried]
    with_planted = explanations(tried, changes, 20, claim).set_index("kind").loc["planted"]
    return Outcome(
        float(found["q_value"].min() < 0.05), float((with_planted["q_value"] < 0.05).all())
    )


def _named(label: np.ndarray, kind: str = "group") -> Candidates:
    names = [str(number) for number in range(int(label.max()) + 1)]
    return Candidates(kind, label, names, names)


def _labels(
    source: np.ndarray, position: np.ndarray, token_type: np.ndarray, rng: np.random.Generator
) -> Iterable[np.ndarray]:
    """Groups like those of `explain`: bands, parts of words, sets of types, types, documents."""
    counts = np.bincount(token_type)
    yield np.log2(counts[token_type]).astype(np.int64)
    yield np.log2(1 + position % 511).astype(np.int64)
    yield np.log2(1 + position // 511).astype(np.int64)
    yield rng.integers(0, 4, len(counts))[token_type]
    for share in (0.05, 0.1, 0.2, 0.3):
        yield np.where(rng.random(len(counts))[token_type] < share, 0, -1)
        yield np.where(rng.random(len(source)) < share, 0, -1)
    yield token_type
    yield source


def explain_designs() -> list[Design]:
    cells = [
        *((n, spread, 0.0, False, 400) for n in (10, 25, 100) for spread in (0, 1, 1.5)),
        *((25, 0, types, False, 400) for types in (0.1, 0.2, 0.3)),
        *((10, spread, types, False, 400) for spread in (1, 1.5) for types in (0.1, 0.3)),
        *((25, spread, types, False, 400) for spread in (1, 1.5) for types in (0.1, 0.3)),
        (25, 0, 0.0, True, 400),
        (25, 1, 0.2, True, 400),
        (10, 1.5, 0.3, True, 400),
        (8, 1.2, 0.2, False, 400),
        (25, 0, 0.3, False, 50),
        (25, 1.2, 0.2, True, 50),
    ]
    return [
        Design(
            "explain",
            f"{n} documents, log-length sd {spread:g}, types sd {types:g}"
            + ", t3" * heavy
            + f", {n_types} types" * (n_types != 400),
            partial(
                explain_trial, n_docs=n, spread=spread, types=types, heavy=heavy, n_types=n_types
            ),
            effect=f"{EFFECT:g} nats in a tenth of the tokens",
            easy=n == 25 and spread == 0 and types == 0,
        )
        for n, spread, types, heavy, n_types in cells
    ]


# Do two regions move the same tokens?


SCALES = 0.4
"""Standard deviation of the log of a token's noise: changes then have a kurtosis of 5.7. In regions
of the demo without an event it is 4 to 5, in its spike 7."""


def overlap_trial(
    rng: np.random.Generator,
    *,
    coefficient: float,
    heavy: bool = False,
    unequal: float = SCALES,
    falls: float = 1.0,
    n_checkpoints: int = 101,
    width: int = 5,
    gap: int = 1,
    k: int = 50,
    n_tokens: int = 10_000,
) -> Outcome:
    """Is any of the four overlaps claimed at p < 0.05? Then ten tokens rise and fall again.

    Over the run, noise becomes `falls` times as small.
    """
    shape = (n_tokens, n_checkpoints)
    shocks = rng.standard_t(3, shape) if heavy else rng.normal(0, 1, shape)
    shocks[:, 0] /= np.sqrt(1 - coefficient**2)
    shocks *= np.geomspace(1, 1 / falls, n_checkpoints)
    losses = signal.lfilter([1.0], [1.0, -coefficient], shocks)
    losses *= rng.lognormal(0, unequal, (n_tokens, 1))
    start = int(rng.integers(0, n_checkpoints - 2 * width - gap))
    first, second = (start, start + width), (start + width + gap, start + 2 * width + gap)
    units = Units(np.arange(n_tokens), np.arange(n_tokens), np.arange(n_tokens))

    def counted(losses: np.ndarray) -> pd.DataFrame:
        matrix = matrix_of(losses)
        return overlaps(units, matrix, matrix, first, second, k)

    found = counted(losses)
    if found["verdict"].iloc[0]:
        return Outcome()
    planted = losses.copy()
    planted[:10, first[1] : second[0] + 1] += 12 * losses.std()
    with_planted = counted(planted)
    both = (found, with_planted)
    return Outcome(*(float((each["p_placebo"] < 0.05).any()) for each in both))


def matrix_of(losses: np.ndarray) -> LossMatrix:
    """Losses float (tokens, checkpoints) at the steps 0, 1, 2, …"""
    blocks = np.array_split(losses.astype(np.float32), range(BLOCK, losses.shape[1], BLOCK), axis=1)
    return LossMatrix(np.arange(losses.shape[1]), [np.ascontiguousarray(b) for b in blocks])


def overlap_designs() -> list[Design]:
    return [
        Design(
            "overlap",
            f"AR {coefficient:g}{', t3' * heavy}, {n} checkpoints"
            + ", very unequal tokens" * (unequal > SCALES)
            + f", noise falls {falls:g}-fold" * (falls > 1),
            partial(
                overlap_trial,
                coefficient=coefficient,
                heavy=heavy,
                unequal=unequal,
                falls=falls,
                n_checkpoints=n,
            ),
            effect="10 of the 50 most risen of 10,000 tokens fall again in the second region",
            easy=coefficient == 0 and not heavy,
            asked=coefficient <= 0.6 and unequal == SCALES,
        )
        for unequal, falls, coefficients in (
            (SCALES, 1.0, (0, 0.5, 0.8, 0.9)),
            (0.7, 1.0, (0, 0.5, 0.9)),
            (SCALES, 5.0, (0.5,)),
        )
        for coefficient in coefficients
        for heavy in (False, True)
        for n in (101, 60)
    ]


# Matched comparison.


def matched_trial(
    rng: np.random.Generator,
    *,
    coefficient: float = 0.0,
    heavy: bool = False,
    spread: float = 0.0,
    gap: float = 1.0,
    level: float = 1.0,
    skewed: bool = False,
    n_docs: int = 25,
    n_checkpoints: int = 48,
) -> Outcome:
    """A trained model that learns nothing more: tokens of one true level do not differ.

    The group's true levels are `gap` nats higher than the others'; noise has deviation 1.
    """
    source = np.repeat(np.arange(n_docs), np.maximum(20, 3 * lengths(n_docs, spread, rng)))
    in_group = rng.random(len(source)) < 0.2
    drawn = rng.gamma(2, 1 / np.sqrt(2), len(source)) if skewed else rng.normal(0, 1, len(source))
    true = level * drawn + gap * in_group + 0.1 * rng.normal(0, 1, n_docs)[source]
    if heavy:
        noise = rng.standard_t(3, (len(source), n_checkpoints)) / np.sqrt(3)
    else:
        noise = along_checkpoints((len(source), n_checkpoints), coefficient, rng)
    losses = 3 + true[:, None] + noise
    found = matched_difference(losses, in_group, source)
    told = np.isfinite(found[1])
    if not told.any():
        return Outcome()
    losses[in_group, n_checkpoints // 2 :] -= EFFECT
    learned = matched_difference(losses, in_group, source)[2, n_checkpoints // 2 :] < 0
    return Outcome(
        float(np.mean((found[1] > 0)[told] | (found[2] < 0)[told])), float(learned.mean())
    )


def matched_difference(
    losses: np.ndarray, in_group: np.ndarray, source: np.ndarray, bins: int = 10
) -> np.ndarray:
    """Estimate, low, high, float64 (3, checkpoints), of a group minus its matched controls."""
    rows, others = np.flatnonzero(in_group), np.flatnonzero(~in_group)
    summation = Summation(matrix_of(losses), source)
    found = np.full((3, losses.shape[1]), np.nan)
    for columns, values in initial_losses(summation.matrix, rows, others):
        covariate = Covariate("initial_loss", values, True, matching.binned(values, rows, bins))
        part = Part.of(columns, [covariate], rows, others)
        if part.strata.n:
            _, _, difference = part_curves(summation, part)
            found[:, columns] = difference[["difference", "low", "high"]].to_numpy().T
    return found


def matched_designs() -> list[Design]:
    cells: dict[str, dict[str, float | bool]] = {
        "white noise": {},
        "AR 0.3": {"coefficient": 0.3},
        "AR 0.6": {"coefficient": 0.6, "n_checkpoints": 96},
        "t3": {"heavy": True},
        "log-length sd 1": {"spread": 1.0},
        "gap of 2 nats": {"gap": 2.0},
        "small gap and level sd": {"gap": 0.3, "level": 0.5},
        "8 documents, log-length sd 1.2, AR 0.3": {"n_docs": 8, "spread": 1.2, "coefficient": 0.3},
    }
    return [
        Design(
            "matched on initial_loss",
            name,
            partial(matched_trial, **cell),  # type: ignore[arg-type]
            effect=f"{EFFECT:g} nats in the second half",
            covers=True,
            cost=2,
            easy=name == "white noise",
        )
        for name, cell in cells.items()
    ]


# Clusters of trajectories.

PLACE = np.linspace(0, 1, 48)


def curves(kind: str, rng: np.random.Generator, n: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    """Trajectories, float64 (n, 48), and their true clusters, int64 (n,)."""
    truth, noise = np.zeros(n, np.int64), 0.3 * rng.normal(0, 1, (n, len(PLACE)))
    size = rng.lognormal(0.3, 0.5, (n, 1))
    if kind == "white noise":
        shape = 2 * noise
    elif kind == "AR 0.9":
        shape = along_checkpoints(noise.shape, 0.9, rng)
    elif kind == "random walk":
        shape = 0.3 * rng.normal(0, 1, noise.shape).cumsum(axis=1)
    elif kind == "sizes of one fall":
        shape = size * np.exp(-3 * PLACE)
    elif kind == "falls and rises of any size":
        shape = rng.normal(0, 1, (n, 1)) * np.exp(-3 * PLACE)
    elif kind == "times, evenly":
        shape = size / (1 + np.exp(15 * (PLACE - rng.uniform(0.1, 0.9, (n, 1)))))
    elif kind == "times and sizes":
        shape = size / (1 + np.exp(10 * (PLACE - rng.beta(2, 2, (n, 1)))))
        shape = shape + rng.lognormal(0, 0.5, (n, 1)) * np.exp(-8 * PLACE)
    else:
        k = int(kind[0])
        truth = rng.integers(0, k, n)
        falls = 1 / (1 + np.exp(25 * (PLACE - np.linspace(0.15, 0.85, k)[:, None])))
        shape = rng.uniform(1.5, 4, (n, 1)) * falls[truth]
    return rng.uniform(0, 5, (n, 1)) + shape + noise, truth


CONTINUA = (
    "white noise",
    "AR 0.9",
    "random walk",
    "sizes of one fall",
    "falls and rises of any size",
    "times, evenly",
    "times and sizes",
)


def cluster_trial(rng: np.random.Generator, *, kind: str) -> Outcome:
    """Are clusters claimed in a continuum, or planted ones counted rightly?"""
    losses, truth = curves(kind, rng)
    seed = int(rng.integers(1_000))
    chosen = cluster_number.choose(losses, rng.integers(0, 25, len(losses)), True, seed)
    if truth.any():
        right = float(chosen.k == truth.max() + 1)
        return Outcome(1 - right, right)
    return Outcome(float(chosen.k > 1))


def cluster_designs() -> list[Design]:
    return [
        Design(
            "clusters",
            kind,
            partial(cluster_trial, kind=kind),
            cost=10,
            effect="planted clusters" * kind[0].isdigit(),
        )
        for kind in (*CONTINUA, "2 times", "3 times", "4 times")
    ]


def all_designs() -> list[Design]:
    return [
        *band_designs(),
        *everywhere_designs(),
        *explain_designs(),
        *overlap_designs(),
        *matched_designs(),
        *cluster_designs(),
    ]


if __name__ == "__main__":
    print(calibrate(all_designs(), n_trials=200, workers=2).to_string())
