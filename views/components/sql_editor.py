"""The SQL editor: highlighting, completion and the marked place of an error, without a network.

A component of our own: the editors on PyPI load their code from elsewhere, or cannot complete names
of a store.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from views.components import component

KEY = "sql_editor"
KEYWORDS = (
    *("select", "distinct", "from", "where", "group by all", "group by", "having", "order by"),
    *("limit", "offset", "as", "on", "using", "join", "left join", "asof join", "cross join"),
    *("and", "or", "not", "in", "is", "null", "like", "ilike", "between", "exists", "true"),
    *("false", "case", "when", "then", "else", "end", "with", "union all", "union by name"),
    *("except", "intersect", "over", "partition by", "qualify", "window", "desc", "asc", "filter"),
    *("nulls last", "exclude", "replace", "values", "sample", "pivot", "unpivot", "summarize"),
)
FUNCTIONS = (
    *("abs", "any_value", "arg_max", "arg_min", "avg", "coalesce", "contains", "corr", "count"),
    *("cume_dist", "dense_rank", "ends_with", "exp", "first_value", "floor", "greatest", "hash"),
    *("lag", "last_value", "lead", "least", "length", "list", "ln", "log10", "log2", "lower"),
    *("max", "median", "min", "ntile", "nullif", "power", "quantile_cont", "range", "rank"),
    *("regexp_extract", "regexp_full_match", "regexp_matches", "regr_slope", "replace", "round"),
    *("row_number", "sign", "sqrt", "starts_with", "stddev", "string_agg", "substring", "sum"),
    *("trim", "unnest", "upper", "var_samp"),
)
_HTML = """
<div class="editor">
  <div class="frame">
    <div class="numbers" aria-hidden="true"></div>
    <div class="paper">
      <pre class="colours" aria-hidden="true"></pre>
      <textarea aria-label="Query" wrap="off" spellcheck="false" autocomplete="off"
        autocapitalize="off" aria-autocomplete="list"></textarea>
    </div>
  </div>
  <ul class="menu" role="listbox" aria-label="Completions" hidden></ul>
  <p class="keys">Ctrl+Enter runs the query, Tab accepts a completion, Ctrl+Space lists them.</p>
</div>
"""


_COMPONENT = component(__file__, _HTML)


@dataclass(frozen=True)
class Names:
    """What the editor completes and highlights."""

    columns: Mapping[str, Sequence[str]]
    """Relation -> its columns."""
    macros: Sequence[str]
    groups: Mapping[str, str]
    """Named group -> its title."""


@dataclass(frozen=True)
class Mark:
    """The place of an error in the text that has it, in characters from 0."""

    text: str
    at: int


def show(
    text: str,
    version: int,
    names: Names,
    mark: Mark | None,
    write: Callable[[str], None],
    run: Callable[[str], None],
) -> None:
    """Draw the editor. `text` replaces what the user writes whenever `version` changes.

    `write` is called with the text when the user leaves the field, `run` with that to run.
    """

    def on_written() -> None:
        written = st.session_state[KEY].get("text")
        if written is not None:
            write(str(written))

    def on_run() -> None:
        query = st.session_state[KEY].get("run")
        if query is not None:
            run(str(query))

    _COMPONENT(
        key=KEY,
        data={
            "text": text,
            "version": version,
            "columns": {relation: list(columns) for relation, columns in names.columns.items()},
            "macros": list(names.macros),
            "groups": dict(names.groups),
            "keywords": list(KEYWORDS),
            "functions": list(FUNCTIONS),
            "mark": None if mark is None else {"text": mark.text, "at": mark.at},
        },
        on_text_change=on_written,
        on_run_change=on_run,
    )
