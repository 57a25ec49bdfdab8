"""The region that the app opens with."""

import numpy as np
import pytest

from queries.stats import changes

STEPS = [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize(
    ("losses", "rise", "back"),
    [
        ([9, 5, 7, 6, 5, 4], (10, 20), (30, 40)),  # falls back to where it rose from
        ([9, 5, 7, 6, 6, 6], (10, 20), (30, 50)),  # never does
        ([9, 5, 6, 4, 6, 7], (30, 50), None),  # still up at the end; the larger rise counts
        ([9, 5, 6, 8, 6, 2], (10, 30), (40, 50)),  # over several checkpoints
        ([9, 5, 6, 8, 3, 2], (10, 30), None),  # back at the next checkpoint
        ([6, 5, 4, 3, 2, 1], (0, 50), None),  # no rise: the whole run
    ],
)
def test_largest_rise_and_its_recovery(losses, rise, back):
    mean_loss = np.array(losses, dtype=float)
    assert changes.largest_rise(STEPS, mean_loss) == rise
    assert changes.recovery(STEPS, mean_loss, rise) == back


def test_the_store_suggests_the_regions_of_its_mean_loss(store, plain):
    losses = plain.means("true")["mean_loss"].to_numpy()
    rise = changes.largest_rise(store.steps, losses)
    expected = rise, changes.recovery(store.steps, losses, rise)
    assert store.suggested_regions() == expected
