"""Charts: pure functions from data frames to Altair charts. No SQL, no Streamlit, no state."""

from views.charts.axes import AXES, BRUSH, LINEAR, LOG_LIKE, TOKENS_SEEN, look
from views.charts.quick import BARS, LINE, MARKS, POINTS, quick
from views.charts.text import one_token
from views.charts.trajectories import difference_everywhere, relative, trajectories
from views.charts.zoom import histogram, in_context, token_trajectories

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
    "difference_everywhere",
    "histogram",
    "in_context",
    "look",
    "one_token",
    "quick",
    "relative",
    "token_trajectories",
    "trajectories",
]  # fmt: skip
