"""One chart per analysis, named like it, and the detail charts that some of them have.

The functions take the analyses' data frames as they are.
"""

import altair as alt
import numpy as np
import pandas as pd

from queries.charts import curves, heat_map, theme
from queries.charts.theme import BLUE, GREY, ORANGE
from queries.engine.measures import MEASURES, MeasureName
from queries.stats.cluster_number import DEPTH, FLOOR

UPPER, LOWER = 300, 200
"""Pixels of stacked panels."""
SHOWN = 30
"""Rows of a leaderboard that are drawn."""
BALANCED = 0.1
"""Standard deviations: a standardized difference below this is usually called balanced."""
_VARIANTS = {
    ("whole", "levels"): "middle of the levels",
    ("whole", "level"): "step on a level",
    ("whole", "line"): "step on a line",
    ("inner", "level"): "step on a level, inner window",
    ("inner", "line"): "step on a line, inner window",
}
"""Of a lead: window and baseline."""
_SIDES = {"before": "before matching", "after": "after matching"}
_GAPS = {"gap": "these tokens", "null_gap": "normal curves with the same covariance"}


def events(
    events: pd.DataFrame, steps: np.ndarray, values: np.ndarray, title: str = "mean loss (nats)"
) -> alt.VConcatChart:
    """The trajectory (`values` at `steps`) above bars of the events: kind, first, peak, last, …"""
    curve = pd.DataFrame({"checkpoint": steps, "value": values})
    line = curves.relative(curve, "value", title, None, height=UPPER)
    shown = events.assign(kind=events["kind"].str.replace("_", " "), checkpoint=events["first"])
    kinds = list(dict.fromkeys(shown["kind"]))
    bars = (
        alt.Chart(shown)
        .mark_bar(minBandSize=3)
        .encode(
            x=theme.step(curve),
            x2="last:Q",
            y=alt.Y("kind:N", title=None).axis(minExtent=theme.AXIS_WIDTH),
            color=theme.color("kind", kinds, legend=None),
            tooltip=[alt.Tooltip(name) for name in events.columns],
        )
    )
    return theme.stack(line, bars.properties(height=24 * max(len(kinds), 1)))


def explain(rows: pd.DataFrame, first: int, last: int) -> alt.LayerChart:
    """Groups that changed differently from all other tokens, with two standard errors.

    kind, token_group, difference, standard_error (nats); the first SHOWN rows with an error.
    """
    shown = rows.dropna(subset=["standard_error"]).head(SHOWN)
    reach = 2 * shown["standard_error"]
    shown = shown.assign(
        low=shown["difference"] - reach,
        high=shown["difference"] + reach,
        label=shown["kind"] + ": " + shown["token_group"],
    )
    title = f"change from step {first:,} to {last:,}, minus that of all other tokens (nats)"
    y = _category("label")
    base = alt.Chart(shown)
    kinds = list(dict.fromkeys(shown["kind"]))
    rules = base.mark_rule(color=GREY).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y)
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.X("difference:Q", title=title),
        y=y,
        color=theme.color("kind", kinds),
        tooltip=[
            alt.Tooltip("token_group:N", title="group"),
            alt.Tooltip("difference:Q", title="difference (nats)", format="+.3f"),
            alt.Tooltip("standard_error:Q", title="standard error", format=".3f"),
        ],
    )
    layers = [theme.rule_at(0, "x"), rules, points]
    return theme.overlay(layers, 40 + 20 * max(len(shown), 1), "Groups that changed differently")


def overlap(rows: pd.DataFrame) -> alt.Chart:
    """Tokens in both lists, next to what placebo regions share and what chance would give.

    set_in_first, set_in_second, shared, expected, expected_placebo.
    """
    names = {
        "shared": "shared",
        "expected_placebo": "in placebo regions, on average",
        "expected": "by chance",
    }
    pairs = rows["set_in_first"] + ", then " + rows["set_in_second"]
    long = pd.concat(
        [
            pd.DataFrame({"pair": pairs, "tokens": name, "n": rows[column]})
            for column, name in names.items()
        ]
    )
    bars = alt.Chart(long).mark_bar()
    drawn: alt.Chart = bars.encode(
        x=alt.X("n:Q", title="tokens in both lists").axis(tickCount=8),
        y=_category("pair"),
        yOffset=alt.YOffset("tokens:N", sort=list(names.values())),
        color=theme.color("tokens", list(names.values()), [BLUE, ORANGE, GREY]),
        tooltip=[alt.Tooltip("pair:N"), alt.Tooltip("tokens:N"), alt.Tooltip("n:Q", format=".2f")],
    )
    return theme.finish(drawn, 60 * max(len(rows), 1), "Tokens that changed in both regions")


def type_changes(types: pd.DataFrame) -> alt.LayerChart:
    """Token types by how often they occur and how they changed: token_str, n_tokens, change."""
    points = alt.Chart(types.assign(token="⟦" + types["token_str"] + "⟧"))
    drawn = points.mark_point(filled=True, size=28, opacity=0.6, color=BLUE).encode(
        x=alt.X("n_tokens:Q", title="occurrences (log)").scale(type="log", nice=False),
        y=theme.loss("change", "mean change (nats)"),
        tooltip=[
            alt.Tooltip("token:N"),
            alt.Tooltip("n_tokens:Q", title="occurrences", format=","),
            alt.Tooltip("change:Q", title="mean change (nats)", format="+.3f"),
        ],
    )
    layers = [theme.rule_at(0), drawn]
    return theme.overlay(layers, UPPER, "Mean change in loss of every token type")


def age_of_acquisition(types: pd.DataFrame) -> alt.Chart:
    """Token types by how often they occur and when they were acquired: token_str, n_tokens, step.

    Types without a step are left out.
    """
    known = types[types["step"].notna()]
    points = alt.Chart(known.assign(token="⟦" + known["token_str"] + "⟧"))
    drawn: alt.Chart = points.mark_point(filled=True, size=28, opacity=0.6, color=BLUE).encode(
        x=alt.X("n_tokens:Q", title="occurrences (log)").scale(type="log", nice=False),
        y=alt.Y("step:Q", title="age of acquisition (step, log)").scale(type="log", nice=False),
        tooltip=[
            alt.Tooltip("token:N"),
            alt.Tooltip("n_tokens:Q", title="occurrences", format=","),
            alt.Tooltip("step:Q", title="step", format=",.0f"),
            alt.Tooltip("threshold:Q", title="threshold (nats)", format=".2f"),
        ],
    )
    return theme.finish(drawn, UPPER, "Age of acquisition of every token type")


def mechanism(found: pd.DataFrame) -> alt.VConcatChart:
    """Losses on repeated text, highest prefix-matching scores, and the group's loss below.

    curve, checkpoint, value, low, high; `curve` is "loss_…", "prefix_matching_…" or "group".
    """
    panels = {
        "loss on repeated tokens (nats)": found["curve"].str.startswith("loss_"),
        "highest prefix-matching score": found["curve"].str.startswith("prefix_matching"),
        "the group's loss (nats)": found["curve"] == "group",
    }
    frames = {title: found[chosen] for title, chosen in panels.items() if chosen.any()}
    return theme.stack(
        *(
            curves.relative(
                frame.rename(columns={"curve": "token_group"}), "value", title, None, height=180
            )
            for title, frame in frames.items()
        )
    )


def leads(variants: pd.DataFrame) -> alt.LayerChart:
    """Every way to measure a lead: probe, window, baseline, lead, low, high (log10 of factors)."""
    ways = zip(variants["window"], variants["baseline"], strict=True)
    # The other way round than a lead: how many times later the probe is, as the page says it.
    sides = {"lead": "lead", "low": "high", "high": "low"}
    factors = {f"{name}_factor": 10 ** -variants[side] for name, side in sides.items()}
    frame = variants.assign(by=[_VARIANTS[way] for way in ways], **factors)
    titles = list(_VARIANTS.values())
    title = "half-way step of the probe over the group's (below 1: the probe changes first)"
    ends = variants[["low", "high"]].to_numpy(dtype=np.float64)
    reach = 1.02 * 10 ** float(np.abs(ends).max())
    scale = alt.Scale(type="log", domain=[1 / reach, reach], nice=False)
    base = alt.Chart(frame).encode(
        y=_category("probe"),
        yOffset=alt.YOffset("by:N", sort=titles),
        color=theme.color("by", titles),
        tooltip=[
            alt.Tooltip("probe:N"),
            alt.Tooltip("by:N", title="measured by"),
            alt.Tooltip("lead_factor:Q", title="factor", format=".3f"),
            alt.Tooltip("low_factor:Q", title="from", format=".3f"),
            alt.Tooltip("high_factor:Q", title="to", format=".3f"),
        ],
    )
    points = base.mark_point(filled=True, size=80, opacity=1)
    points = points.encode(x=alt.X("lead_factor:Q", title=title, scale=scale))
    bars = base.mark_rule(strokeWidth=2)
    bars = bars.encode(x=alt.X("low_factor:Q", title=title, scale=scale), x2="high_factor:Q")
    height = 150 + 80 * frame["probe"].nunique()
    return theme.overlay([theme.rule_at(1, "x"), bars, points], height, "Leads of the probes")


def matched(trajectories: pd.DataFrame, difference: pd.DataFrame) -> alt.VConcatChart:
    """The group and its controls, above their difference before and after matching.

    `trajectories`: checkpoint, token_group, mean_loss, low, high. `difference`: checkpoint,
    difference, low, high, and the same before matching: before, before_low, before_high.
    """
    names = {"before": "difference", "before_low": "low", "before_high": "high"}
    after = difference[["checkpoint", "difference", "low", "high"]]
    before = difference[["checkpoint", *names]].rename(columns=names)
    both = pd.concat(
        [after.assign(token_group="after matching"), before.assign(token_group="before matching")]
    )
    return theme.stack(
        curves.trajectories(trajectories).properties(height=UPPER),
        curves.relative(both, "difference", "group minus controls (nats)", 0, height=LOWER),
    )


def balance(frame: pd.DataFrame) -> alt.LayerChart:
    """How similar a group and its controls are: covariate, measure, before, after."""
    long = frame.melt(["covariate", "measure"], list(_SIDES), "side", "signed")
    long = long.assign(size=long["signed"].abs(), side=long["side"].map(_SIDES))
    y = _category("covariate").axis(
        domain=False, ticks=False, labelLimit=220, labelOverlap=False, labelFlush=False
    )
    x = alt.X("size:Q", title="size of the difference (standard deviations; of texts, a distance)")
    x = x.scale(domainMin=0, nice=True).axis(tickCount=8)
    ends = frame.assign(one=frame["before"].abs(), two=frame["after"].abs())
    way = alt.Chart(ends).mark_rule(color=GREY, strokeWidth=2, opacity=0.6)
    points = alt.Chart(long).mark_point(filled=True, size=110, opacity=1)
    points = points.encode(
        y=y,
        x=x,
        color=theme.color("side", list(_SIDES.values()), [ORANGE, BLUE]),
        tooltip=[
            alt.Tooltip("covariate:N"),
            alt.Tooltip("measure:N"),
            alt.Tooltip("side:N"),
            alt.Tooltip("signed:Q", title="difference", format="+.3f"),
        ],
    )
    way = way.encode(y=y, x=alt.X("one:Q"), x2="two:Q")
    layers = [theme.rule_at(BALANCED, "x"), way, points]
    return theme.overlay(layers, 120 + 30 * len(frame), "How similar group and controls are")


def clusters(means: pd.DataFrame) -> alt.VConcatChart:
    """Mean losses of the clusters with their bands, above their mean shapes.

    cluster, checkpoint, mean_loss, low, high (nats), shape (standard deviations).
    """
    frame = means.assign(token_group="cluster " + means["cluster"].astype(str))
    return theme.stack(
        curves.trajectories(frame).properties(height=UPPER),
        curves.relative(
            frame.drop(columns=["low", "high"]),  # that band is the loss's
            "shape",
            "mean shape (standard deviations)",
            0,
            height=LOWER,
        ),
    )


def stability(frame: pd.DataFrame, chosen: int) -> alt.VConcatChart:
    """Stability and gaps over the number of clusters; `chosen` is ringed (1: none is).

    k, stability, gap, null_gap.
    """
    title = "stability (adjusted Rand index)"
    stable = frame[["k"]].assign(of=_GAPS["gap"], value=frame["stability"])
    gaps = frame.melt("k", list(_GAPS), "of", "value").dropna()
    gaps = gaps.assign(of=gaps["of"].map(_GAPS))
    return theme.stack(
        _over_k(stable, chosen, title, FLOOR), _over_k(gaps, chosen, "density between", DEPTH)
    )


def _over_k(long: pd.DataFrame, chosen: int, title: str, limit: float) -> alt.LayerChart:
    """k, of, value; a dashed line at the value that clusters need."""
    base = alt.Chart(long).encode(
        x=alt.X("k:O", title="number of clusters").axis(labelAngle=0),
        y=theme.loss("value", title),
        color=theme.color("of", list(_GAPS.values()), [BLUE, GREY]),
        tooltip=[
            alt.Tooltip("k:O", title="clusters"),
            alt.Tooltip("of:N"),
            alt.Tooltip("value:Q", title=title, format=".2f"),
        ],
    )
    is_chosen = (alt.datum.k == chosen) & (alt.datum.of == _GAPS["gap"])
    ring = base.transform_filter(is_chosen).mark_point(size=260, strokeWidth=2, filled=False)
    layers = [
        theme.rule_at(limit),
        base.mark_line(strokeWidth=1.8),
        base.mark_point(filled=True, size=50),
        *([ring] if (long["k"] == chosen).any() else []),
    ]
    return theme.overlay(layers, LOWER, f"{title.capitalize()} of each number of clusters")


def rho_1(summary: pd.DataFrame) -> alt.Chart:
    """The fitted lines of Rho-1's categories, as thick as they are frequent.

    category, share, mean_start, mean_end (nats).
    """
    ends = {"start": summary["mean_start"], "end": summary["mean_end"]}
    frame = pd.concat([summary.assign(at=at, loss=loss) for at, loss in ends.items()])
    width = alt.StrokeWidth("share:Q", title="share of tokens")
    lines = alt.Chart(frame).mark_line()
    drawn: alt.Chart = lines.encode(
        x=alt.X("at:O", sort=None, title=None).axis(labelAngle=0),
        y=theme.loss("loss", "mean of the fitted lines (nats)"),
        strokeWidth=width.scale(domain=[0, 1], range=[1, 20]),
        color=theme.color("category", list(summary["category"])),
    )
    return theme.finish(drawn, UPPER, "Fitted lines of Rho-1's four categories")


def positions(frame: pd.DataFrame, measure: MeasureName = "loss") -> alt.Chart:
    """`heat_map.loss_by_position`, coloured by the mean of the measure."""
    mean = MEASURES[measure].mean
    return heat_map.loss_by_position(frame, value=mean, measure=measure)


def ngrams(frame: pd.DataFrame) -> alt.VConcatChart:
    """The model's loss and the n-gram models', above the correlations with them.

    checkpoint, mean_loss, low, high, and for unigram and bigram …_loss, …_correlation, …_low,
    …_high.
    """
    losses = [frame[["checkpoint", "mean_loss", "low", "high"]].assign(token_group="the model")]
    correlations = []
    for name in ("unigram", "bigram"):
        group = {"checkpoint": frame["checkpoint"], "token_group": f"{name}s"}
        losses.append(pd.DataFrame({**group, "mean_loss": frame[f"{name}_loss"]}))
        facts = {part: frame[f"{name}_{part}"] for part in ("correlation", "low", "high")}
        correlations.append(pd.DataFrame({**group, **facts}))
    return theme.stack(
        curves.trajectories(pd.concat(losses)).properties(height=UPPER),
        curves.relative(
            pd.concat(correlations), "correlation", "correlation (Pearson's r)", 0, height=LOWER
        ),
    )


def compare(runs: pd.DataFrame, spread: pd.DataFrame, by: str) -> alt.VConcatChart:
    """The runs, above their mean with the lowest and the highest run as its band.

    `runs`: run, at, checkpoint, mean_loss, low, high. `spread`: at, mean_loss, lowest, highest.
    `by` is "step" or "tokens_seen", what `at` holds.
    """
    axis = theme.TOKENS_SEEN if by == "tokens_seen" else theme.SYMLOG
    title = "mean of the runs (nats)"
    band = spread.rename(columns={"lowest": "low", "highest": "high"})
    band = band if "checkpoint" in band else band.assign(checkpoint=band["at"])
    return theme.stack(
        curves.trajectories(runs.rename(columns={"run": "token_group"}), axis).properties(
            height=UPPER
        ),
        curves.relative(band, "mean_loss", title, None, axis, height=LOWER),
    )


def compare_words(runs: pd.DataFrame, words: pd.DataFrame, unit: str) -> alt.VConcatChart:
    """The stores' trajectories, above the word losses of the first two at their last checkpoints.

    `runs`: run, checkpoint, value, low, high. `words`: first_loss, second_loss, text, prev_text,
    the largest difference first.
    """
    lines = runs.rename(columns={"run": "token_group"})
    first, second, *_ = dict.fromkeys(runs["run"])
    limit = float(words[["first_loss", "second_loss"]].to_numpy().max())
    scale = alt.Scale(domain=[0, limit], nice=True)
    points = alt.Chart(words.iloc[_spread_out(len(words))]).mark_point(filled=True, size=18)
    scatter = points.encode(
        x=alt.X("first_loss:Q", title=f"word loss in {first} (nats)", scale=scale),
        y=alt.Y("second_loss:Q", title=f"in {second} (nats)", scale=scale),
        opacity=alt.value(0.4),
        color=alt.value(BLUE),
        tooltip=[
            alt.Tooltip("prev_text:N", title="word before"),
            alt.Tooltip("text:N", title="word"),
            alt.Tooltip("source:N"),
            alt.Tooltip("first_loss:Q", format=".2f"),
            alt.Tooltip("second_loss:Q", format=".2f"),
        ],
    )
    ends = pd.DataFrame({"at": [0.0, limit]})
    diagonal = alt.Chart(ends).mark_line(color=GREY, strokeDash=[4, 4]).encode(x="at:Q", y="at:Q")
    return theme.stack(
        curves.relative(lines, "value", unit, None, height=UPPER),
        theme.overlay([diagonal, scatter], UPPER, "Word losses in two stores"),
    )


def _spread_out(n: int) -> np.ndarray:
    """Places of the first 200 of n words, and of up to 1,800 others at equal distances."""
    return np.unique(
        np.append(np.arange(min(n, 200)), np.linspace(0, n - 1, min(n, 1_800)))
    ).astype(np.int64)


def _category(column: str) -> alt.Y:
    """Names on the vertical axis, in the frame's order."""
    y: alt.Y = alt.Y(f"{column}:N", sort=None, title=None)
    return y.axis(labelLimit=300, labelOverlap=False, labelFlush=False)
