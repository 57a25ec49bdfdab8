"""A region of training worth a first look: the largest rise of the mean loss, and what follows."""

import numpy as np

Region = tuple[int, int]


def largest_rise(steps: list[int], mean_loss: np.ndarray) -> Region:
    """(step of the low point, step of the peak) of the largest rise over a loss's minimum so far.

    `mean_loss` float64 (len(steps),) in nats. A run that never rises gives its whole range.
    """
    rise = mean_loss - np.minimum.accumulate(mean_loss)
    peak = int(rise.argmax())
    if rise[peak] <= 0:
        return steps[0], steps[-1]
    low = int(mean_loss[: peak + 1].argmin())
    return steps[low], steps[peak]


def recovery(steps: list[int], mean_loss: np.ndarray, rise: Region) -> Region:
    """From the peak of a rise to the step at which the loss is back where the rise began.

    A loss that never comes back gives the rest of the run; a peak at the end, the rise itself.
    """
    low, peak = steps.index(rise[0]), steps.index(rise[1])
    if peak == len(steps) - 1:
        return rise
    back = np.flatnonzero(mean_loss[peak:] <= mean_loss[low])
    return steps[peak], steps[peak + int(back[0])] if len(back) else steps[-1]
