"""Charts: pure functions from data frames to Altair charts. No SQL, no Streamlit, no state."""

from queries.charts.analyses import balance, leads, one_token, stability
from queries.charts.changes import histogram, in_context, token_trajectories
from queries.charts.curves import curves, difference_everywhere, relative, trajectories
from queries.charts.heat_map import heat_map
from queries.charts.quick import BARS, LINE, MARKS, POINTS, quick
from queries.charts.theme import AXES, BRUSH, LINEAR, LOG_LIKE, TOKENS_SEEN, look

__all__ = [
    "AXES",
    "BARS",
    "BRUSH",
    "LINE",
    "LINEAR",
    "LOG_LIKE",
    "MARKS",
    "POINTS",
    "TOKENS_SEEN",
    "balance",
    "curves",
    "difference_everywhere",
    "heat_map",
    "histogram",
    "in_context",
    "leads",
    "look",
    "one_token",
    "quick",
    "relative",
    "stability",
    "token_trajectories",
    "trajectories",
]
