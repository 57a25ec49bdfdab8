"""The state of all pages: what a link holds, what it cannot hold, and how groups keep looks."""

from dataclasses import replace
from pathlib import Path

import pytest

from queries import Store
from queries.charts import theme
from views import selected_groups, state
from views.selected_groups import SelectedGroup
from views.state import State


def test_a_link_restores_the_state(folder: Path) -> None:
    store = Store(folder)
    groups = selected_groups.with_looks(
        [SelectedGroup("true", name="All", color="#112233"), SelectedGroup("copyable", muted=True)]
    )
    first, second, *_, last = store.steps
    shown = State(
        groups=groups[::-1],
        where=SelectedGroup("position > 3"),
        focus=SelectedGroup("copyable"),
        region=(first, second),
        second=(second, last),
        axis="linear",
        runs=("other",),
        token=3,
    )
    assert state.from_query(state.to_query(shown), store, ["other"]) == (shown, [])
    initial = state.to_query(state.default())
    assert all(values == [] for values in initial.values())
    assert state.from_query({}, store, []) == (state.default(), [])
    assert state.from_query({"group": [""]}, store, [])[0].groups == ()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("region", "400-0", "step 400 is not before step 0"),
        ("region", "0-7777", "there is no checkpoint 7,777; the nearest one is"),
        ("second", "all", "expected two steps"),
        ("axis", "log", "available here: symlog, linear"),
        ("measure", "accuracy", "available here: loss"),
        ("token", "99999999", "the store's tokens are numbered from 0"),
        ("runs", "elsewhere", "not among the other open stores"),
    ],
)
def test_an_unusable_value_is_named_with_its_reason(
    folder: Path, name: str, value: str, why: str
) -> None:
    found, (problem,) = state.from_query({name: [value]}, Store(folder), [])
    assert f"`{name}={value}`" in problem and why in problem
    assert found == state.default()


def test_groups_keep_their_looks_while_others_come_and_go() -> None:
    a, b, c = selected_groups.with_looks(map(SelectedGroup, "abc"))
    left = selected_groups.with_looks([c, a, SelectedGroup("d")])
    assert [group.look for group in left] == [2, 0, 1]
    assert [group.shown_color for group in left[:2]] == [c.shown_color, a.shown_color]
    followed = selected_groups.with_looks(map(selected_groups.from_url, selected_groups.urls(left)))
    assert followed == left
    assert selected_groups.urls([a, b, c]) == ["a", "b", "c"]


def test_a_group_keeps_its_look_and_other_lines_get_looks_that_no_group_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups = [SelectedGroup(text, look=look) for look, text in enumerate(("a", "b", "c"))]
    groups[1] = replace(groups[1], color="#123456")
    monkeypatch.setattr(state, "current", lambda: State(groups=tuple(groups)))
    own, *others = state.looks(SelectedGroup("b"), 2)
    assert own == ("#123456", [1, 0])
    assert others == [theme.look(3), theme.look(4)]
    (unknown,) = state.looks(SelectedGroup("d"))
    assert unknown == theme.look(3)
