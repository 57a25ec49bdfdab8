"""The groups that a user has selected: in the session, and in the URL that restores them."""

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import streamlit as st

from queries import GroupError, Store
from queries.groups.templates import from_data, from_json, to_json

TRAJECTORIES = "group"
"""The parameter of the groups on the Trajectories page; the first one is the baseline."""
DEFAULTS = ("not_copyable", "copyable")
_COLOR = re.compile("#[0-9a-fA-F]{6}")
_NONE = ""  # in a URL: no group, and not the defaults
_ids = count()


@dataclass(frozen=True)
class SelectedGroup:
    """A group as the user entered it: `text` is a name or SQL, `built` holds templates as JSON."""

    text: str = ""
    built: str = ""
    name: str = ""
    color: str = ""
    number: int = dataclasses.field(default_factory=lambda: next(_ids), compare=False)
    """Distinguishes it from the other groups of this process; not in the URL."""

    @property
    def clause(self) -> str:
        """What `Store` takes: a named group's name or SQL."""
        return from_json(self.built).sql() if self.built else self.text

    def title(self, store: Store) -> str:
        """The user's name for it, or the named group's title, or a phrase, or its SQL."""
        if self.name:
            return self.name
        if self.built:
            return shortened(from_json(self.built).phrase())
        return group_title(store, self.text)

    def url(self) -> str:
        """One value of a URL's parameter."""
        facts = {k: v for k, v in dataclasses.asdict(self).items() if v and k != "number"}
        if facts.keys() <= {"text"} and not self.text.startswith("{"):
            return self.text
        if self.built:
            facts["built"] = json.loads(self.built)
        return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))


def from_url(value: str) -> SelectedGroup:
    """The group of such a value; an invalid one is taken as SQL, which is refused when used."""
    try:
        facts = json.loads(value) if value.startswith("{") else {}
        built = to_json(from_data(facts["built"])) if "built" in facts else ""
        text, name, color = (str(facts.get(part, "")) for part in ("text", "name", "color"))
        made = SelectedGroup(text, built, name, color if _COLOR.fullmatch(color) else "")
        _ = made.clause
    except (ValueError, RecursionError, GroupError):
        return SelectedGroup(value)
    return made if made.text or made.built else SelectedGroup(value)


def groups(parameter: str, defaults: Sequence[str]) -> list[SelectedGroup]:
    """The groups of the link that was followed, or the session's, or the defaults."""
    kept = f"{parameter}_groups"
    in_url = st.query_params.get_all(parameter)
    if kept not in st.session_state:
        st.session_state[kept] = _from_urls(in_url or defaults)
    elif in_url and in_url != st.session_state.get(f"{parameter}_written"):
        st.session_state[kept] = _from_urls(in_url)
    found: list[SelectedGroup] = st.session_state[kept]
    keep(parameter, found)
    return found


def _from_urls(values: Sequence[str]) -> list[SelectedGroup]:
    return [from_url(value) for value in values if value != _NONE]


def keep(parameter: str, groups: Sequence[SelectedGroup]) -> None:
    """Write the groups of a page to the session and the URL."""
    values = [group.url() for group in groups] or [_NONE]
    st.session_state[f"{parameter}_groups"] = list(groups)
    st.session_state[f"{parameter}_written"] = values
    if st.query_params.get_all(parameter) != values:
        st.query_params[parameter] = values


def offer(group: SelectedGroup) -> None:
    """A link to the Trajectories page that adds this group to its groups."""
    there = st.session_state.get(f"{TRAJECTORIES}_groups")
    others = [*DEFAULTS] if there is None else [other.url() for other in there]
    st.page_link(
        st.session_state["pages"]["trajectories"],
        label=f"Show “{group.name}” on Trajectories",
        icon=":material/add_chart:",
        query_params={TRAJECTORIES: [*others, group.url()]},
    )


def group_title(store: Store, text: str) -> str:
    """The named group's title for its name or clause, or the clause itself, shortened."""
    named = store.named_groups
    if text in named:
        return named[text].title
    titles = {group.clause: group.title for group in named.values()}
    return titles.get(text) or shortened(text)


def shortened(text: str, longest: int = 80) -> str:
    """On one line, cut at `longest` characters."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
