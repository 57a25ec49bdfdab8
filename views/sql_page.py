"""The SQL page: a console over the store, for questions that no other page has."""

import io
from functools import partial

import pandas as pd
import streamlit as st

from queries import Store
from queries.database import ANSWER_LIMIT, MEMORY_LIMIT, TIME_LIMIT
from queries.questions import questions
from views import answers, quick_chart, schema_panel
from views.running import Running

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
        schema_panel.show(store, 250)
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

    st.selectbox("Example questions", list(texts), index=None, key="example", on_change=put,
                 placeholder="Choose one to begin with")  # fmt: skip
    with st.form("sql", border=False):
        text = st.text_area("Query", key=TEXT, height=250, persist_state="session")
        asked = st.form_submit_button("Run", icon=":material/play_arrow:", type="primary",
                                      help="Ctrl+Enter runs it, too.")  # fmt: skip
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
    st.progress(running.share, f"About {running.share:.0%} after {running.seconds:.0f} s. "
                "It stops if you leave this page.")  # fmt: skip
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
    quick_chart.show(answer, running.query)


def _files(answer: pd.DataFrame) -> None:
    for label, ending, make in (("CSV", "csv", csv), ("Parquet", "parquet", parquet)):
        st.download_button(label, partial(make, answer), f"answer.{ending}",
                           icon=":material/download:", key=f"answer_{ending}",
                           on_click="ignore")  # fmt: skip


def csv(answer: pd.DataFrame) -> bytes:
    """The whole answer as CSV."""
    return answer.to_csv(index=False).encode()


def parquet(answer: pd.DataFrame) -> bytes:
    """The whole answer as Parquet."""
    buffer = io.BytesIO()
    answer.to_parquet(buffer, index=False)
    return buffer.getvalue()
