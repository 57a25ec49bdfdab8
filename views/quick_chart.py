"""A quick chart of a query's answer: which of its columns stand where."""

import pandas as pd
import streamlit as st

from views import charts, figure
from views.figure import Figure

MOST = 5_000
NONE = "none"


def show(answer: pd.DataFrame, query: str) -> None:
    """Draw the choices and the chart."""
    columns = [str(column) for column in answer.columns]
    if len(answer) < 2 or len(columns) < 2:
        return
    st.subheader("Quick chart")
    x, y = _defaults(answer, columns)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen_x = _column("Across", "x", columns, x)
        chosen_y = _column("Up", "y", columns, y)
        by = _column("Colour", "by", [NONE, *columns], NONE)
        mark = st.segmented_control("As", charts.MARKS, default=charts.LINE, required=True,
                                    key="mark", bind="query-params",
                                    persist_state="session")  # fmt: skip
    drawn = answer.head(MOST)
    few = "" if len(answer) <= MOST else f"The first {MOST:,} of {len(answer):,} rows are drawn."
    colour = None if by == NONE else by
    chart = charts.quick(drawn, chosen_x, chosen_y, colour, str(mark))
    figure.show(Figure(f"{chosen_y} by {chosen_x}", chart, drawn, query, few), "quick")


def _column(label: str, key: str, options: list[str], default: str) -> str:
    if st.session_state.get(key, default) not in options:  # it was another answer's column
        st.session_state[key] = default
    return str(st.selectbox(label, options, options.index(default), key=key, bind="query-params",
                            persist_state="session"))  # fmt: skip


def _defaults(answer: pd.DataFrame, columns: list[str]) -> tuple[str, str]:
    """The checkpoint or the first column across, the first measured number up."""
    x = "checkpoint" if "checkpoint" in columns else columns[0]
    others = [column for column in columns if column != x]
    measured = answer[others].select_dtypes("floating").columns
    numbers = answer[others].select_dtypes("number").columns
    return x, str(next(iter([*measured, *numbers, *others])))
