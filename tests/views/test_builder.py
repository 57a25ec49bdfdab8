"""The builder returns the group that it was opened with."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from queries import Store
from queries.groups.templates import (
    And,
    Changed,
    Docs,
    Not,
    Or,
    Position,
    PositionRange,
    Previous,
    SeenBefore,
    Sources,
    Template,
    Words,
    WordStart,
    Written,
    to_json,
)

GROUPS: list[Template] = [
    Position(3),
    PositionRange(2, 5),
    WordStart(),
    Words(("Obama", "the")),
    Words(("a,b",)),
    Previous((" the", "'")),
    Previous((' "',)),
    Changed(8, 400, 0.5, "fell"),
    Changed(8, 401, 1.5),
    Docs((0, 2)),
    Docs((99_999,)),
    Sources(("source 0",)),
    Sources(("nowhere",)),
    SeenBefore("bigram", 2),
    Position(2**60),
    Written("position > 1\n-- a comment"),
    Not(Words(("the",))),
    And((Position(3), Not(WordStart()))),
    Or((And((Position(3), WordStart())), Words((" blank",)))),
]


def script(folder: str, built: str) -> None:
    import streamlit as st

    from queries import Store
    from views.widgets import builder

    store = Store(folder)
    if "begun" not in st.session_state:
        builder.start(store, built)
        st.session_state["begun"] = True
    made = builder.build(store)
    st.session_state["clause"] = made.sql() if made else None


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return Store(folder)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.sql()[:40])
def test_the_builder_returns_the_group_that_it_was_given(store: Store, group: Template) -> None:
    app = AppTest.from_function(
        script, args=(str(store.path), to_json(group)), default_timeout=60
    ).run()
    assert not app.exception
    clause = app.session_state["clause"]
    if "401" in group.sql():  # no such checkpoint: reported when the group is used
        assert group.sql() in clause
    else:
        assert store.members(clause).tolist() == store.members(group.sql()).tolist()
