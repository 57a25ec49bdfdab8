"""Error rates and power of what is read off single curves: events, and which moves first."""

from collections.abc import Iterable
from multiprocessing import Pool

import pandas as pd

from tests.calibrate.event_trials import EventDesign, event_designs, event_rows
from tests.calibrate.lead_trials import LeadDesign, lead_designs, lead_rows

Design = EventDesign | LeadDesign


def all_designs() -> list[Design]:
    """Every design of both procedures."""
    return [*event_designs(), *lead_designs()]


def calibrate(
    designs: Iterable[Design], n_trials: int, seed: int = 0, workers: int = 1
) -> pd.DataFrame:
    """Simulate designs; `workers` are processes.

    Returns procedure, design, n_trials, measure, rate, monte_carlo_error, cannot_tell, power,
    effect: one row a design, and two for leads, whose interval has a coverage. The rate of "false
    claims" is of all trials. Where an effect is planted, the error is that of the power.
    """
    jobs = [(design, n_trials, seed) for design in designs]
    if workers == 1:
        parts = [_rows(*job) for job in jobs]
    else:
        with Pool(workers) as pool:
            parts = pool.starmap(_rows, jobs, chunksize=1)
    return pd.DataFrame([row for part in parts for row in part])


def _rows(design: Design, n_trials: int, seed: int) -> list[dict[str, object]]:
    if isinstance(design, EventDesign):
        return event_rows(design, n_trials, seed)
    return lead_rows(design, n_trials, seed)
