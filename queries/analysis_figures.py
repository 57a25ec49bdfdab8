"""Pictures of the analyses, as those of `queries.figures`."""

from typing import Any

import numpy as np
import pandas as pd

from queries.figures import SCHEMA, STEP, WIDTH, color_of, panel, records
from queries.matched import Matched


def kinds_spec(means: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `Kinds.means`: losses with their bands, above the shapes."""
    color = color_of("kind", "kind")
    shape = panel(means, "shape", "mean shape (standard deviations)", 200, color)
    shape["layer"] = shape["layer"][1:]  # its band would be that of the loss
    losses = panel(means, "mean_loss", "mean loss (nats)", 300, color)
    return {"$schema": SCHEMA, "vconcat": [losses, shape]}


def categories_spec(summary: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `queries.rho.rho_1_summary`: the fitted lines, as thick as they are frequent."""
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
            "strokeWidth": {"field": "share", "type": "quantitative", "title": "share of tokens",
                            "scale": {"domain": [0, 1], "range": [1, 20]}},
            **color_of("category", "category"),
        },
    }  # fmt: skip


def matched_spec(found: Matched) -> dict[str, Any]:
    """Vega-Lite of `queries.matched`: the curves, above the differences before and after."""
    curves = panel(found.trajectories, "mean_loss", "mean loss (nats)", 300,
                   color_of("token_group", "token group"))  # fmt: skip
    names = {"before": "difference", "before_low": "low", "before_high": "high"}
    after = found.difference[["checkpoint", "difference", "low", "high"]]
    before = found.difference[["checkpoint", *names]].rename(columns=names)
    both = pd.concat([after.assign(matching="after"), before.assign(matching="before")])
    differences = panel(both, "difference", "group minus controls (nats)", 200,
                        color_of("matching", "matching"))  # fmt: skip
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
            "color": {"field": "mean_loss", "type": "quantitative", "title": "mean loss (nats)",
                      "scale": {"scheme": "viridis", "reverse": True}},
        },
    }  # fmt: skip


def baselines_spec(frame: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `queries.baselines`: the loss with reference lines, above the correlations."""
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
        pd.DataFrame({
            "checkpoint": frame["checkpoint"], "model": f"{name}s",
            "correlation": frame[f"{name}_correlation"],
            "low": frame[f"{name}_low"], "high": frame[f"{name}_high"],
        })
        for name in names
    ]  # fmt: skip
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
    y = {"field": "label", "type": "nominal", "sort": None, "title": None,
         "axis": {"labelLimit": 300}}  # fmt: skip
    x = {"type": "quantitative", "title": "change, less that of the rest (nats)"}
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "title": f"Groups that moved unlike the rest from step {first:,} to {last:,}",
        "data": {"values": records(shown)},
        "layer": [
            {"mark": "rule",
             "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y}},
            {"mark": {"type": "point", "filled": True, "size": 60},
             "encoding": {"x": {**x, "field": "difference"}, "y": y, **color_of("kind", "kind")}},
            {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"x": {"datum": 0}}},
        ],
    }  # fmt: skip


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
            "y": {"field": "pair", "type": "nominal", "sort": None, "title": None,
                  "axis": {"labelLimit": 300}},
            "yOffset": {"field": "of", "sort": None},
            **color_of("of", "tokens"),
        },
    }  # fmt: skip
