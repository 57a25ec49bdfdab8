"""The smallest detectable difference is detected in four of five samples."""

import numpy as np
import pytest
from scipy import stats

from queries.stats.power import detectable, detectable_beyond

TRIALS = 20_000


@pytest.mark.parametrize("n", [6, 25])
def test_it_is_detected_in_four_of_five_samples(n):
    rng = np.random.default_rng(0)
    true = float(detectable(1 / np.sqrt(n), n - 1))
    samples = true + rng.normal(0, 1, (TRIALS, n))
    p_values = stats.ttest_1samp(samples, 0, axis=1).pvalue
    assert (p_values < 0.05).mean() == pytest.approx(0.8, abs=0.03)


def test_a_wider_band_detects_less():
    error = np.array([0.1, 0.2, np.nan])
    reach = 3 * error
    found = detectable_beyond(reach, error, 24)
    np.testing.assert_allclose(found[:2], reach[:2] + stats.t.ppf(0.8, 24) * error[:2])
    assert np.isnan(found[2]) and (found[:2] > detectable(error, 24)[:2]).all()
    high = detectable(error, 24, level=0.01, power=0.9)
    np.testing.assert_allclose(high[0], 0.1 * (stats.t.ppf(0.995, 24) + stats.t.ppf(0.9, 24)))
