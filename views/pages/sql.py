"""The SQL page: a console over the store, for questions that no other page answers."""

import io
import threading
import time
from functools import partial

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.catalog import dictionary
from queries.charts import quick
from queries.engine.database import ANSWER_LIMIT, MEMORY_LIMIT, TIME_LIMIT
from queries.engine.sql_errors import SqlError
from queries.questions import questions
from queries.report.numbers import count
from views import answers, state
from views.components import sql_editor
from views.components.sql_editor import Mark, Names
from views.widgets import figure
from views.widgets.figure import Figure

ROWS_SHOWN = 10_000
ROWS_DRAWN = 5_000
LONGEST_IN_URL = 1_500
QUERY, TEXT, RUNNING, WRITTEN = "query", "sql_text", "sql_running", "query_written"
"""The URL parameter, and session keys: the text, the running query, the query in the URL."""
VERSION, ASKED = "sql_version", "sql_asked"
"""Session keys: how often the page itself has set the text; whether keys have asked to run it."""
FIRST_EXAMPLE = "copying"
QUICK = 0.4
"""Seconds that an answer can take before its progress is shown."""
ABANDONED = 10.0
"""Seconds after which a query is stopped that no page asks for any more."""
MACROS, GROUPS, NONE = "macros", "named groups", "none"


def page(store: Store) -> None:
    """Draw the page."""
    st.title("SQL")
    st.caption(
        f"A single SELECT statement in DuckDB's SQL. Read-only; at most {TIME_LIMIT:.0f} s, "
        f"{MEMORY_LIMIT} of memory and {ANSWER_LIMIT >> 30:,} GB of results."
    )
    linked = _follow_link()
    left, right = st.columns([5, 4], gap="medium")
    with right:
        _schema(store, 330)
    if st.session_state.pop(ASKED, False) or linked:
        _start(store)
    running = _running(store)
    if running is not None:
        running.look(QUICK)
    with left:
        _editor(store, running)
        if running is None:
            return
        if not running.done:
            _wait(running)
            return
        if running.answer is None:
            _report_failure(running)
            return
    _show(running)


def _running(store: Store) -> "RunningQuery | None":
    """The query of this store that runs or has ended."""
    key, running = st.session_state.get(RUNNING) or (None, None)
    return running if key == answers.key(store) else None


# ---- the query: from a link, an example or the field


def _follow_link() -> bool:
    """Put the query of a link into the field; it is run at once."""
    linked = st.query_params.get(QUERY)
    state.used(QUERY)
    if linked is not None and linked != st.session_state.get(WRITTEN):
        st.session_state[WRITTEN] = linked
        _set_text(linked)
        return True
    if TEXT not in st.session_state:
        _set_text(next(q.text for q in questions() if q.name == FIRST_EXAMPLE))
    if linked is None and RUNNING in st.session_state:
        _write(st.session_state[RUNNING][1].query)
    return False


def _set_text(text: str) -> None:
    """Replace what is in the editor."""
    st.session_state[TEXT] = text
    st.session_state[VERSION] = st.session_state.get(VERSION, 0) + 1


def _editor(store: Store, running: "RunningQuery | None") -> None:
    """The examples, the editor and the button; the place of an error is marked."""
    texts = {question.title: question.text for question in questions()}

    def fill() -> None:
        if selected := st.session_state["example"]:
            _set_text(texts[selected])

    def write(text: str) -> None:
        st.session_state[TEXT] = text

    def ask(text: str) -> None:
        st.session_state[TEXT], st.session_state[ASKED] = text, bool(text.strip())

    st.selectbox(
        "Example questions",
        list(texts),
        index=None,
        key="example",
        on_change=fill,
        placeholder="Choose an example",
    )
    text = st.session_state[TEXT]
    mark = None
    if running is not None and running.error_at is not None:
        mark = Mark(running.query, running.error_at)
    sql_editor.show(text, st.session_state[VERSION], _names(store), mark, write, ask)
    st.button(
        "Run",
        icon=":material/play_arrow:",
        type="primary",
        key="sql_run",
        on_click=lambda: ask(st.session_state[TEXT]),
    )


def _names(store: Store) -> Names:
    """What the editor completes."""
    columns = {
        str(relation): rows["column"].tolist()
        for relation, rows in _columns(store).groupby("relation", sort=False)
    }
    macros = [call.partition("(")[0] for call in dictionary.MACROS]
    groups = {group.name: group.title for group in store.named_groups.values()}
    return Names(columns, macros, groups)


def _write(query: str) -> None:
    """Put the query into the URL, unless it is too long for one."""
    if len(query) <= LONGEST_IN_URL:
        st.session_state[WRITTEN] = st.query_params[QUERY] = query
    else:
        st.query_params.pop(QUERY, None)


def _schema(store: Store, height: int) -> None:
    """A choice of tables, macros and groups, and what the selected one holds."""
    columns = _columns(store)
    selected = st.selectbox(
        "Tables and columns", [*columns["relation"].unique(), MACROS, GROUPS], key="schema"
    )
    if selected == MACROS:
        caption = "Tables that take arguments. A group is given by the name of a named group."
        table = pd.DataFrame(dictionary.MACROS.items(), columns=["call", "meaning"])
    elif selected == GROUPS:
        caption = "Each is a view: the rows of `tokens` that are in the group."
        groups = store.named_groups.values()
        table = pd.DataFrame([(g.name, g.title) for g in groups], columns=["name", "meaning"])
    else:
        caption = f"{dictionary.RELATIONS[str(selected)]}."
        table = columns[columns["relation"] == selected][["column", "type", "meaning"]]
    st.caption(caption[0].upper() + caption[1:])
    wide = {"meaning": st.column_config.TextColumn(width="medium")}
    st.dataframe(table, hide_index=True, height=height, column_config=wide)


_columns = answers.cached(dictionary.columns)


# ---- a query that runs in a thread of its own: its progress, its end, a way to stop it


class _Stop(threading.Event):
    """Set by a user, or after a time without a page, since a closed browser sends no message."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = time.monotonic()

    def is_set(self) -> bool:
        return super().is_set() or time.monotonic() - self.looked > ABANDONED


class RunningQuery:
    """A query that runs or has ended, with an answer or with the error as a sentence."""

    def __init__(self, store: Store, query: str) -> None:
        self.query = query
        self.share = 0.0
        self.answer: pd.DataFrame | None = None
        self.error = "the query ended without an answer: run it again"
        self.error_at: int | None = None
        self._began = time.monotonic()
        self._took: float | None = None
        self._stop = _Stop()
        self._thread = threading.Thread(
            target=self._run, args=(store,), daemon=True, name="a user's query"
        )
        self._thread.start()

    @property
    def done(self) -> bool:
        """Has it ended?"""
        return not self._thread.is_alive()

    @property
    def cancelled(self) -> bool:
        """Was it stopped before it had an answer?"""
        return self._stop.is_set() and self.answer is None

    @property
    def seconds(self) -> float:
        """Seconds since it began, or that it took."""
        return self._took if self._took is not None else time.monotonic() - self._began

    def look(self, wait: float = 0.0) -> None:
        """Say that the answer is still wanted, and wait for it at most `wait` seconds."""
        self._stop.looked = time.monotonic()
        self._thread.join(wait)

    def cancel(self) -> None:
        """Stop it."""
        self._stop.set()

    def _run(self, store: Store) -> None:
        try:
            self.answer = store.sql(self.query, self._progress, self._stop)
        except QueryError as error:
            self.error = str(error)
            self.error_at = error.at if isinstance(error, SqlError) else None
        finally:
            self._took = time.monotonic() - self._began

    def _progress(self, share: float) -> None:
        self.share = share


def _start(store: Store) -> None:
    """Run the query of the field, and stop the one before."""
    if before := st.session_state.get(RUNNING):
        before[1].cancel()
    _write(st.session_state[TEXT])
    query = RunningQuery(store, st.session_state[TEXT])
    st.session_state[RUNNING] = answers.key(store), query


@st.fragment(run_every=0.5)
def _wait(running: RunningQuery) -> None:
    """The progress and a button that cancels; when the query ends, the page is drawn again."""
    running.look()
    if running.done:
        st.rerun()
    st.progress(
        running.share,
        f"About {running.share:.0%} after {running.seconds:.0f} s. "
        "The query stops if you leave this page.",
    )
    if st.button("Cancel", icon=":material/stop:", key="sql_cancel"):
        running.cancel()


def _report_failure(running: RunningQuery) -> None:
    if running.cancelled:
        st.warning(f"Cancelled after {running.seconds:.1f} s.", icon=":material/stop:")
    else:
        sentence = " ".join(running.error.split())
        st.error(sentence[:1].upper() + sentence[1:], icon=":material/error:")


# ---- the answer: a table, files, a chart


def _show(running: RunningQuery) -> None:
    answer = running.answer
    assert answer is not None
    n = len(answer)
    summary = f"**{count(n, 'row')}** in {running.seconds:.2f} s."
    if n > ROWS_SHOWN:
        summary += f" The first {ROWS_SHOWN:,} are shown; files contain all."
    if len(running.query) > LONGEST_IN_URL:
        summary += " The query is too long for the page's address, so links do not include it."
    text, files = st.columns([3, 2], vertical_alignment="center")
    text.markdown(summary)
    with files.container(horizontal=True, horizontal_alignment="right"):
        _files(answer)
    st.dataframe(answer.head(ROWS_SHOWN), hide_index=True)
    _quick_chart(answer, running.query)


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


def _quick_chart(answer: pd.DataFrame, query: str) -> None:
    """A chart of two of the answer's columns, with a third one as colour."""
    columns = [str(column) for column in answer.columns]
    if len(answer) < 2 or len(columns) < 2:
        return
    st.subheader("Quick chart")
    x, y = _default_columns(answer, columns)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        x = _column("X", "x", columns, x)
        y = _column("Y", "y", columns, y)
        colour = _column("Colour", "by", [NONE, *columns], NONE)
        mark = st.segmented_control(
            "Mark",
            quick.MARKS,
            default=quick.LINE,
            required=True,
            key="mark",
            bind="query-params",
            persist_state="session",
        )
    drawn = answer.head(ROWS_DRAWN)
    caption = ""
    if len(answer) > ROWS_DRAWN:
        caption = f"The first {ROWS_DRAWN:,} of {len(answer):,} rows are drawn."
    chart = quick.draw(drawn, x, y, None if colour == NONE else colour, str(mark))
    figure.show(Figure(f"{y} by {x}", chart, drawn, query, caption), "quick")


def _column(label: str, key: str, options: list[str], default: str) -> str:
    if st.session_state.get(key, default) not in options:  # a column of another answer
        st.session_state[key] = default
    column = st.selectbox(
        label,
        options,
        options.index(default),
        key=key,
        bind="query-params",
        persist_state="session",
    )
    return str(column)


def _default_columns(answer: pd.DataFrame, columns: list[str]) -> tuple[str, str]:
    """For x the checkpoint or the first column, for y the first floating-point number."""
    x = "checkpoint" if "checkpoint" in columns else columns[0]
    others = [column for column in columns if column != x]
    floats = answer[others].select_dtypes("float").columns
    numbers = answer[others].select_dtypes("number").columns
    return x, str(next(iter([*floats, *numbers, *others])))
