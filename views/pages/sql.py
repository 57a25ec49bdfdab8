"""The SQL page: a console over the store, for questions that no other page has."""

import io
import threading
import time
from functools import partial

import pandas as pd
import streamlit as st

from queries import QueryError, Store, charts
from queries.catalog import dictionary
from queries.engine.database import ANSWER_LIMIT, MEMORY_LIMIT, TIME_LIMIT
from queries.questions import questions
from views import answers
from views.widgets import figure
from views.widgets.figure import Figure

# A quick chart of a query's answer: which of its columns stand where.

MOST = 5_000
NONE = "none"


def show_quick_chart(answer: pd.DataFrame, query: str) -> None:
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
        mark = st.segmented_control(
            "As",
            charts.MARKS,
            default=charts.LINE,
            required=True,
            key="mark",
            bind="query-params",
            persist_state="session",
        )
    drawn = answer.head(MOST)
    few = "" if len(answer) <= MOST else f"The first {MOST:,} of {len(answer):,} rows are drawn."
    colour = None if by == NONE else by
    chart = charts.quick(drawn, chosen_x, chosen_y, colour, str(mark))
    figure.show(Figure(f"{chosen_y} by {chosen_x}", chart, drawn, query, few), "quick")


def _column(label: str, key: str, options: list[str], default: str) -> str:
    if st.session_state.get(key, default) not in options:  # it was another answer's column
        st.session_state[key] = default
    return str(
        st.selectbox(
            label,
            options,
            options.index(default),
            key=key,
            bind="query-params",
            persist_state="session",
        )
    )


def _defaults(answer: pd.DataFrame, columns: list[str]) -> tuple[str, str]:
    """The checkpoint or the first column across, the first measured number up."""
    x = "checkpoint" if "checkpoint" in columns else columns[0]
    others = [column for column in columns if column != x]
    measured = answer[others].select_dtypes("floating").columns
    numbers = answer[others].select_dtypes("number").columns
    return x, str(next(iter([*measured, *numbers, *others])))


# A person's query in a thread of its own: how far it is, how it ended, a way to stop it.

AWAY = 10.0
"""Seconds after which a query that no page looks at any more is stopped."""


class _Stop(threading.Event):
    """Set by a person; or by itself, as nobody tells when a browser was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = time.monotonic()

    def is_set(self) -> bool:
        return super().is_set() or time.monotonic() - self.looked > AWAY


class Running:
    """A query that runs, or has ended: then with an answer, or with the trouble as a sentence."""

    def __init__(self, store: Store, query: str) -> None:
        self.query = query
        self.share = 0.0
        self.answer: pd.DataFrame | None = None
        self.trouble = "the query ended without an answer: ask again"
        self._began = time.monotonic()
        self._took: float | None = None
        self._stop = _Stop()
        self._thread = threading.Thread(
            target=self._run, args=(store,), daemon=True, name="a person's query"
        )
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def cancelled(self) -> bool:
        """Was it stopped before it had an answer?"""
        return self._stop.is_set() and self.answer is None

    @property
    def seconds(self) -> float:
        """Since it began; of one that has ended, what it took."""
        return self._took if self._took is not None else time.monotonic() - self._began

    def look(self, wait: float = 0.0) -> None:
        """Somebody still wants the answer; waits so many seconds for it."""
        self._stop.looked = time.monotonic()
        self._thread.join(wait)

    def cancel(self) -> None:
        self._stop.set()

    def _run(self, store: Store) -> None:
        try:
            self.answer = store.sql(self.query, self._tell, self._stop)
        except QueryError as error:
            self.trouble = str(error)
        finally:
            self._took = time.monotonic() - self._began

    def _tell(self, share: float) -> None:
        self.share = share


# What can be named in SQL: tables with their columns, macros, named groups.

MACROS, GROUPS = "macros", "named groups"


@st.cache_data(max_entries=16, show_spinner=False)
def _columns(_store: Store, store_key: object) -> pd.DataFrame:
    """`dictionary.columns`."""
    return dictionary.columns(_store)


def show_schema(store: Store, height: int) -> None:
    """A choice of tables, and what is in the chosen one."""
    columns = _columns(store, answers.key(store))
    there = columns["relation"].unique()
    shown = st.selectbox("What there is to ask", [*there, MACROS, GROUPS], key="schema")
    if shown == MACROS:
        told = "Tables that take arguments. A group is the name of any named group."
        table = pd.DataFrame(dictionary.MACROS.items(), columns=["call", "meaning"])
    elif shown == GROUPS:
        told = "Each is a view: the lines of tokens that are in the group."
        groups = store.named_groups.values()
        table = pd.DataFrame([(g.name, g.title) for g in groups], columns=["name", "meaning"])
    else:
        told = f"{dictionary.RELATIONS[shown]}."
        table = columns[columns["relation"] == shown][["column", "type", "meaning"]]
    st.caption(told.capitalize() if told[0].islower() else told)
    wide = {"meaning": st.column_config.TextColumn(width="medium")}
    st.dataframe(table, hide_index=True, height=height, column_config=wide)


SHOWN = 10_000
LONGEST_IN_URL = 1_500
QUERY, TEXT, RUNNING = "query", "sql_text", "sql_running"
FIRST = "copying"
_MONOSPACE = f"<style>.st-key-{TEXT} textarea {{font-family: monospace}}</style>"
_AT_ONCE = 0.4  # seconds that an answer may take before progress is shown


def page(store: Store) -> None:
    """Draw the page."""
    st.title("SQL")
    st.caption(
        f"One SELECT of DuckDB's SQL. Reading only; at most {TIME_LIMIT:.0f} s, "
        f"{MEMORY_LIMIT} of memory and {ANSWER_LIMIT >> 20:,} MB of answer."
    )
    st.html(_MONOSPACE)
    linked = _follow_link()
    left, right = st.columns([5, 4], gap="medium")
    with left:
        asked = _editor() or linked
    with right:
        show_schema(store, 250)
    if asked:
        _begin(store)
    key, running = st.session_state.get(RUNNING) or (None, None)
    if running is None or key != answers.key(store):
        st.info("Write a question, or choose an example, and run it.", icon=":material/database:")
        return
    running.look(_AT_ONCE)
    with left:
        if not running.done:
            _wait(running)
            return
        if running.answer is None:
            _say(running)
            return
    _show(running)


def _follow_link() -> bool:
    """The question of a link that was followed is asked at once."""
    named = st.query_params.get(QUERY)
    if named is not None and named != st.session_state.get("query_written"):
        st.session_state[TEXT] = st.session_state["query_written"] = named
        return True
    if TEXT not in st.session_state:
        st.session_state[TEXT] = next(q.text for q in questions() if q.name == FIRST)
    if named is None and RUNNING in st.session_state:
        _write(st.session_state[RUNNING][1].query)
    return False


def _editor() -> bool:
    """The example questions and the field; was it asked?"""
    texts = {question.title: question.text for question in questions()}

    def put() -> None:
        if chosen := st.session_state["example"]:
            st.session_state[TEXT] = texts[chosen]

    st.selectbox(
        "Example questions",
        list(texts),
        index=None,
        key="example",
        on_change=put,
        placeholder="Choose one to begin with",
    )
    with st.form("sql", border=False):
        text = st.text_area("Query", key=TEXT, height=250, persist_state="session")
        asked = st.form_submit_button(
            "Run", icon=":material/play_arrow:", type="primary", help="Ctrl+Enter runs it, too."
        )
    if asked:
        _write(text)
    return asked and bool(text.strip())


def _begin(store: Store) -> None:
    """Ask, in the place of what was asked before."""
    if before := st.session_state.get(RUNNING):
        before[1].cancel()
    st.session_state[RUNNING] = answers.key(store), Running(store, st.session_state[TEXT])


def _write(query: str) -> None:
    """Into the URL, unless it is too long for one."""
    if len(query) <= LONGEST_IN_URL:
        st.session_state["query_written"] = st.query_params[QUERY] = query
    else:
        st.query_params.pop(QUERY, None)


@st.fragment(run_every=0.5)
def _wait(running: Running) -> None:
    """How far it is, and a button to stop it; once it has ended, the page is drawn anew."""
    running.look()
    if running.done:
        st.rerun()
    st.progress(
        running.share,
        f"About {running.share:.0%} after {running.seconds:.0f} s. "
        "It stops if you leave this page.",
    )
    if st.button("Cancel", icon=":material/stop:", key="sql_cancel"):
        running.cancel()


def _say(running: Running) -> None:
    if running.cancelled:
        st.warning(f"Cancelled after {running.seconds:.1f} s.", icon=":material/stop:")
    else:
        st.error(" ".join(running.trouble.split()), icon=":material/error:")


def _show(running: Running) -> None:
    answer = running.answer
    assert answer is not None
    n = len(answer)
    first = f" The first {SHOWN:,} are shown; files have all." if n > SHOWN else ""
    long = len(running.query) > LONGEST_IN_URL
    kept = " The query is too long for the page's address: a link does not hold it." if long else ""
    told, files = st.columns([3, 2], vertical_alignment="center")
    rows = f"{n:,} row{'' if n == 1 else 's'}"
    told.markdown(f"**{rows}** in {running.seconds:.2f} s.{first}{kept}")
    with files.container(horizontal=True, horizontal_alignment="right"):
        _files(answer)
    st.dataframe(answer.head(SHOWN), hide_index=True)
    show_quick_chart(answer, running.query)


def _files(answer: pd.DataFrame) -> None:
    for label, ending, make in (("CSV", "csv", csv), ("Parquet", "parquet", parquet)):
        st.download_button(
            label,
            partial(make, answer),
            f"answer.{ending}",
            icon=":material/download:",
            key=f"answer_{ending}",
            on_click="ignore",
        )


def csv(answer: pd.DataFrame) -> bytes:
    """The whole answer as CSV."""
    return answer.to_csv(index=False).encode()


def parquet(answer: pd.DataFrame) -> bytes:
    """The whole answer as Parquet."""
    buffer = io.BytesIO()
    answer.to_parquet(buffer, index=False)
    return buffer.getvalue()
