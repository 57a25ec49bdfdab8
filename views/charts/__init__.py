"""Charts: pure functions from data frames to Altair charts. No SQL, no Streamlit, no state."""

from views.charts.axes import AXES, BRUSH, LINEAR, LOG_LIKE, TOKENS_SEEN, look
from views.charts.evidence import leads
from views.charts.fair import balance
from views.charts.kinds import stability
from views.charts.positions import heat_map
from views.charts.quick import BARS, LINE, MARKS, POINTS, quick
from views.charts.text import one_token
from views.charts.trajectories import curves, difference_everywhere, relative, trajectories
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
]  # fmt: skip
