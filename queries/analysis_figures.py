"""Pictures of the analyses, as those of `queries.figures`."""

from typing import Any

import pandas as pd

from queries.figures import SCHEMA, WIDTH, color_of, panel, records


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
