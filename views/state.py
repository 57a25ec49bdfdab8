"""What the user is looking at: one state for all pages, in the session and in the URL.

    now = state.current()     # groups, where, focus, region, second, measure, axis, runs, token
    state.change(region=(400, 700))  # session and URL; the browser's Back undoes it
    st.page_link(page, query_params=state.link(token=17))  # a link, with everything else kept
    state.say("…")            # a sentence above the page, such as about an unusable link

`app.py` calls `follow` before and `tell` after a page. Pages read `current`, and draw the widgets
of `group_panel`, `region`, `runs` and `training_axis`, which write to it. Parameters of the URL
have the names of the fields, except `group`, which is repeated. A parameter that is missing has its
default, so links must hold the whole state: make them with `link`. Other widgets of a page are its
own, and bound to the URL by Streamlit. Call `change` in a callback, or follow it by `st.rerun()`:
what was drawn before it shows the old state.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from queries import Store
from queries.charts.theme import LINEAR, SYMLOG, TOKENS_SEEN
from views import selected_groups
from views.selected_groups import SelectedGroup

Region = tuple[int, int]
"""The first and the last step, in this order."""
Look = tuple[str, list[int]]
"""A colour and dashes, as `theme.look` has them."""
Query = dict[str, list[str]]
"""The parameters of a URL; an empty list for a missing one."""
DEFAULT_GROUPS = ("not_copyable", "copyable")
ALL_TOKENS = "all_tokens"
LOSS = "loss"
PARAMETERS = ("group", "where", "focus", "region", "second", "measure", "axis", "runs", "token")
OF_THE_APP = ("store", *PARAMETERS)
_NONE = ""  # in a URL: no group, and not the defaults
_STEPS = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
_STATE, _WRITTEN, _PAGE, _PROBLEMS, _OWN, _IN_NAVIGATION = (
    f"state_{name}" for name in ("now", "written", "page", "problems", "own", "in_navigation")
)


@dataclass(frozen=True)
class State:
    """What all pages share; the defaults are those of a new session."""

    groups: tuple[SelectedGroup, ...] = ()
    """The chosen groups, each with its look; the first one is the baseline."""
    where: SelectedGroup = dataclasses.field(default_factory=lambda: SelectedGroup(ALL_TOKENS))
    """The tokens that pages about all tokens are restricted to."""
    focus: SelectedGroup | None = None
    """The group that pages about one group show; None for the first one after the baseline."""
    region: Region | None = None
    """The region of training; None for the page's own suggestion."""
    second: Region | None = None
    measure: str = LOSS
    """One of `Store.measures`."""
    axis: str = SYMLOG
    """One of `theme.AXES`."""
    runs: tuple[str, ...] = ()
    """Paths of the stores that are shown with the open one."""
    token: int | None = None
    """The row of the selected token."""

    @property
    def baseline(self) -> SelectedGroup | None:
        """The group that others are compared with."""
        return self.groups[0] if self.groups else None

    @property
    def focused(self) -> SelectedGroup:
        """`focus`, or the group that stands for it."""
        candidates = [*self.groups[1:2], *self.groups[:1], SelectedGroup(DEFAULT_GROUPS[-1])]
        return self.focus or candidates[0]


def default() -> State:
    """The state of a new session."""
    return State(groups=selected_groups.with_looks(map(SelectedGroup, DEFAULT_GROUPS)))


def current() -> State:
    """The state of this session."""
    found: State = st.session_state.setdefault(_STATE, default())
    return found


def change(**parts: Any) -> None:
    """Replace fields of the state; one change is one step of the browser's history."""
    now = dataclasses.replace(current(), **parts)
    now = dataclasses.replace(now, groups=selected_groups.with_looks(now.groups))
    st.session_state[_STATE] = now
    _write(now)


def looks(group: SelectedGroup, others: int = 0) -> list[Look]:
    """The look of a group on every page, and looks for other lines that no chosen group has."""
    groups = current().groups
    own = next((chosen for chosen in groups if chosen.key == group.key), None)
    extra = [SelectedGroup()] * (others + (own is None))
    found = [*([own] if own else []), *selected_groups.with_looks([*groups, *extra])[len(groups) :]]
    return [(shown.shown_color, shown.dash) for shown in found]


def link(**parts: Any) -> dict[str, str | list[str]]:
    """The `query_params` of a link to a page with these fields and all others as they are."""
    now = dataclasses.replace(current(), **parts)
    query = to_query(dataclasses.replace(now, groups=selected_groups.with_looks(now.groups)))
    found: dict[str, str | list[str]] = {n: values for n, values in query.items() if values}
    if "store" in st.query_params:
        found["store"] = st.query_params["store"]
    return found


def link_in_navigation() -> dict[str, str | list[str]]:
    """`link`, and remembered: a link of the navigation does not take back what came after it."""
    st.session_state[_IN_NAVIGATION] = to_query(current())
    return link()


def restore(query: Query, own: Mapping[str, Any], store: Store, others: Sequence[str]) -> None:
    """Take over a saved query and values of a page's own widgets, before these are drawn."""
    found, problems = from_query(query, store, others)
    st.session_state[_STATE] = found
    for problem in problems:
        say(problem)
    for name in [n for n in st.query_params if n not in OF_THE_APP]:
        st.session_state.pop(name, None)
    for name, value in own.items():
        st.session_state[name] = value
    st.session_state.setdefault(_WRITTEN, []).append(to_query(found))


def offer(group: SelectedGroup) -> None:
    """A link to the Trajectories page that adds this group to the chosen ones."""
    st.page_link(
        st.session_state["pages"]["trajectories"],
        label=f"Show “{group.name}” on Trajectories",
        icon=":material/add_chart:",
        query_params=link(groups=(*current().groups, group)),
    )


def say(problem: str) -> None:
    """Show a sentence above the page until the next action."""
    problems = st.session_state.setdefault(_PROBLEMS, [])
    if problem not in problems:
        problems.append(problem)


def used(parameter: str) -> None:
    """The page itself reads this parameter of a link, without a widget of this name."""
    st.session_state.get(_OWN, {}).pop(parameter, None)


# ---- one run of the script


def follow(store: Store, others: Sequence[str], page: str) -> None:
    """Take over the URL if a link or the browser's history brought it; otherwise write it."""
    st.session_state[_PROBLEMS] = []
    st.session_state[_OWN] = {}
    query = {name: st.query_params.get_all(name) for name in PARAMETERS}
    if _is_followed(query, page):
        found, problems = from_query(query, store, others)
        st.session_state[_STATE] = found
        st.session_state[_PROBLEMS] = problems
        st.session_state[_OWN] = {
            name: st.query_params.get_all(name)
            for name in st.query_params
            if name not in OF_THE_APP
        }
    st.session_state[_PAGE] = page
    _keep_within(store, others)
    _write(current())


def tell(place: Any) -> None:
    """After the page has been drawn: say in `place` what could not be used of a link."""
    for name, values in st.session_state[_OWN].items():
        _compare_with_widget(name, values)
    for problem in st.session_state[_PROBLEMS]:
        place.warning(problem, icon=":material/link_off:")


def _is_followed(query: Query, page: str) -> bool:
    """Whether the query is a link's or the history's, and not one that this session wrote.

    A rerun that overlaps with the one before it arrives with the URL before the change, and the
    navigation's links are as old as the last complete run: neither takes anything back.
    """
    written: list[Query] = st.session_state.get(_WRITTEN, [])
    if not written or _is_history():
        return True
    if st.session_state.get(_PAGE) != page:
        return query not in (written[-1], st.session_state.get(_IN_NAVIGATION))
    return query not in written


def _is_history() -> bool:
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def _write(state: State) -> None:
    """The state's query to the URL, in one step of the history."""
    query = to_query(state)
    written: list[Query] = st.session_state.setdefault(_WRITTEN, [])
    if query in written:
        written.remove(query)
    written.append(query)
    if any(st.query_params.get_all(name) != values for name, values in query.items()):
        st.query_params.update(query)


def _keep_within(store: Store, others: Sequence[str]) -> None:
    """Drop what the open store does not have, after another one was opened."""
    now = current()
    steps = set(store.steps)
    kept = dataclasses.replace(
        now,
        region=now.region if now.region and steps >= {*now.region} else None,
        second=now.second if now.second and steps >= {*now.second} else None,
        runs=tuple(run for run in now.runs if run in others),
        token=None if (now.token or 0) >= store.manifest.n_tokens else now.token,
    )
    st.session_state[_STATE] = kept


def _compare_with_widget(name: str, values: list[str]) -> None:
    """Say so if a parameter of the page's own widgets was unknown or not usable."""
    if name not in st.session_state:
        say(f"The link's parameter `{name}` has no effect on this page.")
        return
    value = st.session_state[name]
    shown = [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]
    if _same(shown, values):
        return
    found = ", ".join(shown).replace("`", "'") or "nothing"
    say(f"`{name}={_quoted(values)}` in the link is not available here. Shown instead: {found}.")


def _same(shown: list[str], values: list[str]) -> bool:
    try:
        return [float(v) for v in shown] == [float(v) for v in values]
    except ValueError:
        return [v.lower() for v in shown] == [v.lower() for v in values]


# ---- the URL


def to_query(state: State) -> Query:
    """The parameters of a state, without those that have their defaults."""
    initial = default()
    groups = selected_groups.urls(state.groups) or [_NONE]
    one = {
        "where": state.where.url() if state.where != initial.where else None,
        "focus": state.focus.url() if state.focus else None,
        "region": state.region and "{}-{}".format(*state.region),
        "second": state.second and "{}-{}".format(*state.second),
        "measure": state.measure if state.measure != initial.measure else None,
        "axis": state.axis if state.axis != initial.axis else None,
        "token": None if state.token is None else str(state.token),
    }
    query = {name: [value] if value else [] for name, value in one.items()}
    query["group"] = groups if groups != list(DEFAULT_GROUPS) else []
    query["runs"] = list(state.runs)
    return {name: query[name] for name in PARAMETERS}


def from_query(
    query: Mapping[str, list[str]], store: Store, others: Sequence[str]
) -> tuple[State, list[str]]:
    """The state of a link, and a sentence for each value that cannot be used."""
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], Any], initial: Any) -> Any:
        values = query.get(name) or []
        if not values:
            return initial
        try:
            return parse(values[-1])
        except ValueError as why:
            problems.append(f"`{name}={_quoted(values)}` in the link is not usable: {why}.")
            return initial

    initial = default()
    groups = [selected_groups.from_url(v) for v in query.get("group") or [] if v != _NONE]
    chosen = selected_groups.with_looks(groups) if query.get("group") else initial.groups
    unknown = [run for run in query.get("runs") or [] if run not in others]
    problems += [
        f"`runs={_quoted([run])}` in the link is not among the other open stores."
        for run in unknown
    ]
    state = State(
        groups=chosen,
        where=read("where", selected_groups.from_url, initial.where),
        focus=read("focus", selected_groups.from_url, None),
        region=read("region", lambda text: _region(text, store), None),
        second=read("second", lambda text: _region(text, store), None),
        measure=read("measure", lambda text: _one_of(text, measures(store)), LOSS),
        axis=read("axis", lambda text: _one_of(text, axes(store)), SYMLOG),
        runs=tuple(run for run in query.get("runs") or [] if run not in unknown),
        token=read("token", lambda text: _row(text, store), None),
    )
    return state, problems


def axes(store: Store) -> tuple[str, ...]:
    """The axes of training that this store can be drawn on."""
    tokens_seen = store.checkpoints.set_index("checkpoint")["tokens_seen"].reindex(store.steps)
    return (SYMLOG, LINEAR, TOKENS_SEEN) if tokens_seen.notna().all() else (SYMLOG, LINEAR)


def measures(store: Store) -> tuple[str, ...]:
    """The measures that this store has: others than the loss need predictions."""
    return tuple(store.measures)


def _region(text: str, store: Store) -> Region:
    found = _STEPS.fullmatch(text)
    if not found:
        raise ValueError("expected two steps, such as 400-700")
    first, last = int(found[1]), int(found[2])
    if first >= last:
        raise ValueError(f"step {first:,} is not before step {last:,}")
    for step in (first, last):
        if step not in store.steps:
            nearest = min(store.steps, key=lambda s: abs(s - step))
            raise ValueError(f"there is no checkpoint {step:,}; the nearest one is {nearest:,}")
    return first, last


def _one_of(text: str, options: Sequence[str]) -> str:
    if text not in options:
        raise ValueError(f"available here: {', '.join(options)}")
    return text


def _row(text: str, store: Store) -> int:
    n = store.manifest.n_tokens
    if not (text.isdecimal() and len(text) < 19 and int(text) < n):
        raise ValueError(f"the store's tokens are numbered from 0 to {n - 1:,}")
    return int(text)


def _quoted(values: Sequence[str]) -> str:
    return selected_groups.shortened(", ".join(values), 60).replace("`", "'")
