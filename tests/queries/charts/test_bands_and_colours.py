"""Bands never hide curves or claim too much, and colours that mean different things differ."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from queries.charts import curves, render, theme

# Machado, Oliveira and Fernandes 2009, severity 1, in linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    ),
    "deuteranopia": np.array(
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    ),
}


def lab(color: str, vision: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of #rrggbb as it is seen."""
    srgb = np.array([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ) @ np.clip(vision @ linear, 0, 1)
    x, y, z = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_falls_and_rises_differ_from_each_other_and_from_groups(vision: str) -> None:
    changes = [theme.FELL_COLOR, theme.ROSE_COLOR]
    pairs = [*combinations(changes, 2), *((c, g) for c in changes for g in theme.PALETTE)]
    found = {
        (a, b): float(np.linalg.norm(lab(a, VISION[vision]) - lab(b, VISION[vision])))
        for a, b in pairs
    }
    assert min(found.values()) > 20, min(found, key=lambda pair: found[pair])


def losses(n_docs_effective: float, low: float = -9, high: float = 99) -> pd.DataFrame:
    return pd.DataFrame(
        {"checkpoint": [0, 10, 20], "mean_loss": [4.0, 2.0, 1.0], "low": low, "high": high}
    ).assign(n_docs_effective=n_docs_effective, token_group="a")


def parts(frame: pd.DataFrame) -> tuple[list[float], pd.DataFrame]:
    """The domain of the losses, and the data of the band."""
    spec = render.in_page(curves.trajectories(frame))
    band = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "area")
    assert band["mark"]["clip"] is True
    domain: list[float] = band["encoding"]["y"]["scale"]["domain"]
    name = band.get("data", spec.get("data"))["name"]
    return domain, spec["datasets"][name]


def test_the_axis_follows_the_curves_and_a_band_of_losses_is_never_negative() -> None:
    domain, band = parts(losses(30))
    assert 0 < domain[0] < 1 and 4 < domain[1] < 5
    assert (band["low"] == 0).all() and (band["high"] == 99).all()


@pytest.mark.parametrize(("effective", "drawn"), [(5.9, False), (6.0, True)])
def test_few_documents_have_no_band(effective: float, drawn: bool) -> None:
    _, band = parts(losses(effective, 0.5, 5))
    assert band[["low", "high"]].notna().all(axis=None) == drawn
    assert band[["low", "high"]].isna().all(axis=None) != drawn


def test_a_chart_of_other_values_has_the_same_specification_and_other_data() -> None:
    ends = losses(30)
    other = ends.assign(mean_loss=[4.0, 3.0, 1.0])
    first, second = (render.in_page(curves.trajectories(f)) for f in (ends, other))
    data = [spec.pop("datasets") for spec in (first, second)]
    assert first == second
    assert not data[0]["frame_0"].equals(data[1]["frame_0"])
