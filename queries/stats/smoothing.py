"""Smoothing of trajectories over checkpoints, symmetrically in log step.

Smoothing is linear in the losses, so it is applied to a group's sums, before means and bands: the
band of a smoothed mean is as exact as any other, and narrows only as far as the noise averages out.
"""

import numpy as np

from queries.engine.sums import GroupSums
from queries.errors import QueryError

WIDEST = 2.0
"""log10 steps: a factor of 100 in steps, beyond which little of a trajectory is left."""


def smoothed(group: GroupSums, checkpoints: np.ndarray, width: float | None) -> GroupSums:
    """The sums, each replaced by the weighted mean of those of the checkpoints around it.

    `checkpoints` int64 (checkpoints,), increasing; `width` as in `weights`, None for no smoothing.
    """
    if width is None:
        return group
    return GroupSums(group.counts, group.sums @ weights(checkpoints, width).T)


def weights(checkpoints: np.ndarray, width: float) -> np.ndarray:
    """Weight of each checkpoint (column) in each smoothed one (row), float64; rows sum to 1.

    A Gaussian kernel in log10(1 + step) with a standard deviation of `width`, times the share of
    the axis that a checkpoint represents, in the manner of Priestley and Chao 1972 (J. R. Stat.
    Soc. B 34:385, not checked), with borders half-way and weights normalised. Without that
    share, with a checkpoint every 1,000 steps, the later side would outweigh the earlier one. At
    both ends there is only one side, which biases the mean. Raises QueryError.
    """
    if not 0 < width <= WIDEST:
        raise QueryError(
            f"the smoothing width is {width:g} log10 steps: expected a number above 0, and at most "
            f"{WIDEST:g}"
        )
    place = np.log10(1.0 + checkpoints)
    kernel = np.exp(-(((place[:, None] - place) / width) ** 2) / 2) * axis_shares(place)
    result: np.ndarray = kernel / kernel.sum(axis=1, keepdims=True)
    return result


def axis_shares(place: np.ndarray) -> np.ndarray:
    """The part of the axis that each checkpoint represents: up to half-way to its neighbours.

    `place` float64 (checkpoints,), increasing; 1 for a single checkpoint.
    """
    if len(place) < 2:
        return np.ones(len(place))
    middles = (place[1:] + place[:-1]) / 2
    return np.diff(np.concatenate([place[:1], middles, place[-1:]]))
