"""Vega-Lite dictionaries of the command line; replaced by Altair."""

import json
from typing import Any

import numpy as np
import pandas as pd

from queries.analyses.compare import Comparison
from queries.analyses.matched import Matched

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # Okabe and Ito
WIDTH = 640
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
STEP = {
    "field": "checkpoint",
    "type": "quantitative",
    "title": "training step",
    "scale": {"type": "symlog", "constant": 10},
}
_TOKENS_SEEN = {
    "field": "at",
    "type": "quantitative",
    "title": "tokens seen",
    "scale": {"type": "symlog", "constant": 1e6},
}


def trajectories_spec(frame: pd.DataFrame, difference: pd.DataFrame | None) -> dict[str, Any]:
    """Vega-Lite of `Store.trajectories`, above `Store.difference` where there is one."""
    color = color_of("token_group", "token group")
    panels = [panel(frame, "mean_loss", "mean loss (nats)", 300, color)]
    if difference is not None:
        panels.append(with_rule(difference, "difference", "first minus second (nats)", 0))
    return {"$schema": SCHEMA, "vconcat": panels}


def relative_spec(frame: pd.DataFrame, value: str, title: str, nothing: float) -> dict[str, Any]:
    """Vega-Lite of `Store.difference`, `ratio` or `change_since`: the column `value`.

    `nothing` is the value at which there is no difference: a dashed line.
    """
    return {"$schema": SCHEMA, **with_rule(frame, value, title, nothing)}


def comparison_spec(comparison: Comparison, by: str) -> dict[str, Any]:
    """Vega-Lite of `queries.compare`: the runs, and below them their mean, lowest and highest."""
    x = _TOKENS_SEEN if by == "tokens_seen" else {**STEP, "field": "at"}
    color = color_of("run", "run")
    runs = panel(comparison.runs, "mean_loss", "mean loss (nats)", 300, color, x)
    spread = comparison.spread.rename(columns={"lowest": "low", "highest": "high"})
    below = panel(spread, "mean_loss", "mean of runs, lowest to highest (nats)", 200, {}, x)
    return {"$schema": SCHEMA, "vconcat": [runs, below]}


def mechanism_spec(curves: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `Mechanism.curves`: losses on repeats, highest scores, and the group below."""
    kinds = {
        "loss on random repeats (nats)": curves["curve"].str.startswith("loss_"),
        "highest prefix-matching score": curves["curve"].str.startswith("prefix_matching"),
        "the group's loss, less the baseline's if any (nats)": curves["curve"] == "group",
    }
    panels = [
        panel(curves[chosen], "value", title, 180, color_of("curve", "curve"))
        for title, chosen in kinds.items()
        if chosen.any()
    ]
    resolve = {"scale": {"color": "independent", "x": "shared"}}
    return {"$schema": SCHEMA, "vconcat": panels, "resolve": resolve}


def zoom_spec(histogram: pd.DataFrame, first: int, last: int) -> dict[str, Any]:
    """Vega-Lite of `Zoom.histogram`."""
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "height": 300,
        "title": f"Change in loss from step {first:,} to {last:,}",
        "data": {"values": records(histogram)},
        "mark": {"type": "bar", "color": PALETTE[0]},
        "encoding": {
            "x": {
                "field": "low",
                "type": "quantitative",
                "bin": {"binned": True},
                "title": "change in loss (nats)",
            },
            "x2": {"field": "high"},
            "y": {
                "field": "n_tokens",
                "type": "quantitative",
                "scale": {"type": "symlog"},
                "title": "tokens (log-like axis)",
            },
        },
    }


def render(spec: dict[str, Any], kind: str) -> bytes:
    """The picture as svg, png or (self-contained) html."""
    import vl_convert

    text = json.dumps(spec)
    if kind == "png":
        return vl_convert.vegalite_to_png(text, scale=2)
    if kind == "html":
        return vl_convert.vegalite_to_html(text, bundle=True).encode()
    return vl_convert.vegalite_to_svg(text).encode()


def color_of(field: str, title: str) -> dict[str, Any]:
    """The encoding of what tells lines apart."""
    return {
        "color": {
            "field": field,
            "type": "nominal",
            "title": title,
            "sort": None,
            "scale": {"range": PALETTE},
            "legend": {"orient": "top", "labelLimit": 500},
        }
    }


def with_rule(frame: pd.DataFrame, value: str, title: str, nothing: float) -> dict[str, Any]:
    """A `panel` with a dashed line at `nothing`, the value of no difference."""
    shown = panel(frame, value, title, 160, {})
    rule = {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"y": {"datum": nothing}}}
    shown["layer"].append(rule)
    return shown


def panel(
    frame: pd.DataFrame,
    value: str,
    title: str,
    height: int,
    color: dict[str, Any],
    x: dict[str, Any] = STEP,
) -> dict[str, Any]:
    """The column `value` of a frame as a line, with the band from low to high."""
    y = {"type": "quantitative", "title": title, "scale": {"zero": False}}
    band = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, **color}
    line = {"x": x, "y": {**y, "field": value}, **color}
    plain = {} if color else {"color": PALETTE[0]}
    return {
        "width": WIDTH,
        "height": height,
        "data": {"values": records(frame)},
        "layer": [
            {"mark": {"type": "area", "opacity": 0.2, **plain}, "encoding": band},
            {"mark": {"type": "line", **plain}, "encoding": line},
        ],
    }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a frame as Vega-Lite takes them."""
    values: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return values


# Pictures of the analyses, as those of `queries.charts.vega`.


def kinds_spec(means: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `Kinds.means`: losses with their bands, above the shapes."""
    color = color_of("kind", "kind")
    shape = panel(means, "shape", "mean shape (standard deviations)", 200, color)
    shape["layer"] = shape["layer"][1:]  # its band would be that of the loss
    losses = panel(means, "mean_loss", "mean loss (nats)", 300, color)
    return {"$schema": SCHEMA, "vconcat": [losses, shape]}


def categories_spec(summary: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `rho_1_summary`: the fitted lines, as thick as they are frequent."""
    parts = {"start": summary["mean_start"], "end": summary["mean_end"]}
    frames = [summary.assign(at=at, loss=loss) for at, loss in parts.items()]
    y = {"field": "loss", "type": "quantitative", "title": "mean of the fitted lines (nats)"}
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "height": 300,
        "data": {"values": records(pd.concat(frames))},
        "mark": {"type": "line"},
        "encoding": {
            "x": {"field": "at", "type": "ordinal", "sort": None, "title": None},
            "y": y,
            "strokeWidth": {
                "field": "share",
                "type": "quantitative",
                "title": "share of tokens",
                "scale": {"domain": [0, 1], "range": [1, 20]},
            },
            **color_of("category", "category"),
        },
    }


def matched_spec(found: Matched) -> dict[str, Any]:
    """Vega-Lite of `Matched`: the curves, above the differences before and after."""
    curves = panel(
        found.trajectories,
        "mean_loss",
        "mean loss (nats)",
        300,
        color_of("token_group", "token group"),
    )
    names = {"before": "difference", "before_low": "low", "before_high": "high"}
    after = found.difference[["checkpoint", "difference", "low", "high"]]
    before = found.difference[["checkpoint", *names]].rename(columns=names)
    both = pd.concat([after.assign(matching="after"), before.assign(matching="before")])
    differences = panel(
        both, "difference", "group minus controls (nats)", 200, color_of("matching", "matching")
    )
    return {
        "$schema": SCHEMA,
        "vconcat": [curves, differences],
        "resolve": {"scale": {"color": "independent"}},
    }


def positions_spec(losses: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `queries.loss_by_position`: a heat map, each checkpoint up to the next."""
    steps = sorted(losses["checkpoint"].unique())
    ends = dict(zip(steps, [*steps[1:], steps[-1] + 1], strict=True))
    cells = losses.assign(until=losses["checkpoint"].map(ends), above=losses["last_position"] + 1)
    position = {"type": "quantitative", "scale": {"type": "log", "nice": False}}
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "height": 300,
        "data": {"values": records(cells)},
        "mark": {"type": "rect", "stroke": None},
        "encoding": {
            "x": STEP,
            "x2": {"field": "until"},
            "y": {**position, "field": "first_position", "title": "position"},
            "y2": {"field": "above"},
            "color": {
                "field": "mean_loss",
                "type": "quantitative",
                "title": "mean loss (nats)",
                "scale": {"scheme": "viridis", "reverse": True},
            },
        },
    }


def baselines_spec(frame: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `baselines`: the loss with reference lines, above the correlations."""
    color = color_of("model", "model")
    names = ("unigram", "bigram")
    lines = [frame.assign(model="the model")]
    lines += [
        frame[["checkpoint"]].assign(model=f"{name}s", mean_loss=frame[f"{name}_loss"])
        for name in names
    ]
    columns = ["checkpoint", "model", "mean_loss", "low", "high"]
    losses = panel(pd.concat(lines)[columns], "mean_loss", "mean loss (nats)", 300, color)
    with_each = [
        pd.DataFrame(
            {
                "checkpoint": frame["checkpoint"],
                "model": f"{name}s",
                "correlation": frame[f"{name}_correlation"],
                "low": frame[f"{name}_low"],
                "high": frame[f"{name}_high"],
            }
        )
        for name in names
    ]
    correlations = panel(pd.concat(with_each), "correlation", "correlation with", 200, color)
    return {"$schema": SCHEMA, "vconcat": [losses, correlations]}


def events_spec(
    events: pd.DataFrame, steps: np.ndarray, values: np.ndarray, title: str = "mean loss (nats)"
) -> dict[str, Any]:
    """Vega-Lite of `queries.events`: the trajectory (nats, at `steps`), and where events are."""
    curve = pd.DataFrame({"checkpoint": steps, "value": values})
    line = panel(curve, "value", title, 300, {})
    line["layer"] = line["layer"][1:]
    bars = {
        "width": WIDTH,
        "height": {"step": 24},
        "data": {"values": records(events)},
        "mark": {"type": "bar", "minBandSize": 3},
        "encoding": {
            "x": {**STEP, "field": "first", "title": "training step"},
            "x2": {"field": "last"},
            "y": {"field": "kind", "type": "nominal", "title": None},
            "tooltip": [{"field": name} for name in events.columns],
            **color_of("kind", "event"),
        },
    }
    return {"$schema": SCHEMA, "vconcat": [line, bars], "resolve": {"scale": {"x": "shared"}}}


def explain_spec(lines: pd.DataFrame, first: int, last: int) -> dict[str, Any]:
    """Vega-Lite of the first 30 lines of `queries.explain`, give or take two standard errors."""
    shown = lines.head(30)
    reach = 2 * shown["standard_error"]
    shown = shown.assign(
        low=shown["difference"] - reach,
        high=shown["difference"] + reach,
        label=shown["kind"] + ": " + shown["token_group"],
    )
    y = {
        "field": "label",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {"labelLimit": 300},
    }
    x = {"type": "quantitative", "title": "change, less that of the rest (nats)"}
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "title": f"Groups that moved unlike the rest from step {first:,} to {last:,}",
        "data": {"values": records(shown)},
        "layer": [
            {
                "mark": "rule",
                "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60},
                "encoding": {"x": {**x, "field": "difference"}, "y": y, **color_of("kind", "kind")},
            },
            {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"x": {"datum": 0}}},
        ],
    }


def overlap_spec(lines: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `queries.overlap`: what is shared, beside what either chance would give."""
    names = {"shared": "shared", "expected": "by chance", "expected_usual": "usual"}
    pairs = lines["set_in_first"] + ", then " + lines["set_in_second"]
    long = pd.concat(
        [
            pd.DataFrame({"pair": pairs, "of": name, "n": lines[column]})
            for column, name in names.items()
        ]
    )
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "data": {"values": records(long)},
        "mark": "bar",
        "encoding": {
            "x": {"field": "n", "type": "quantitative", "title": "tokens in both lists"},
            "y": {
                "field": "pair",
                "type": "nominal",
                "sort": None,
                "title": None,
                "axis": {"labelLimit": 300},
            },
            "yOffset": {"field": "of", "sort": None},
            **color_of("of", "tokens"),
        },
    }
