"""The groups that a user has chosen: in the session, and in the URL that restores them."""

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
class Chosen:
    """A group as it was put together: `text` is a name or SQL, `built` templates as JSON."""

    text: str = ""
    built: str = ""
    name: str = ""
    color: str = ""
    number: int = dataclasses.field(default_factory=lambda: next(_ids), compare=False)
    """Tells it from the others of this process; not in the URL."""

    @property
    def clause(self) -> str:
        """What `Store` takes: a named group's name or SQL."""
        return from_json(self.built).sql() if self.built else self.text

    def title(self, store: Store) -> str:
        """The user's name for it, else the named group's title, else a sentence, else its SQL."""
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


def from_url(value: str) -> Chosen:
    """The group of such a value; what makes no sense is taken as SQL, and gets a sentence later."""
    try:
        facts = json.loads(value) if value.startswith("{") else {}
        names = [f.name for f in dataclasses.fields(Chosen) if f.name != "number"]
        if "built" in facts:
            facts["built"] = to_json(from_data(facts["built"]))
        made = Chosen(**{k: str(facts[k]) for k in names if k in facts})
        if not _COLOR.fullmatch(made.color):
            made = dataclasses.replace(made, color="")
        _ = made.clause
    except (ValueError, RecursionError, GroupError):
        return Chosen(value)
    return made if made.text or made.built else Chosen(value)


def groups(parameter: str, defaults: Sequence[str]) -> list[Chosen]:
    """The chosen groups: those of a link that was followed, else the session's, else defaults."""
    kept = f"{parameter}_groups"
    in_url = st.query_params.get_all(parameter)
    if kept not in st.session_state:
        st.session_state[kept] = _from_urls(in_url or defaults)
    elif in_url and in_url != st.session_state.get(f"{parameter}_written"):
        st.session_state[kept] = _from_urls(in_url)
    found: list[Chosen] = st.session_state[kept]
    keep(parameter, found)
    return found


def _from_urls(values: Sequence[str]) -> list[Chosen]:
    return [from_url(value) for value in values if value != _NONE]


def keep(parameter: str, chosen: Sequence[Chosen]) -> None:
    """Into the session and the URL."""
    values = [group.url() for group in chosen] or [_NONE]
    st.session_state[f"{parameter}_groups"] = list(chosen)
    st.session_state[f"{parameter}_written"] = values
    if st.query_params.get_all(parameter) != values:
        st.query_params[parameter] = values


def offer(group: Chosen) -> None:
    """A link to the Trajectories page with this group beside those that are there."""
    there = st.session_state.get(f"{TRAJECTORIES}_groups")
    others = [*DEFAULTS] if there is None else [other.url() for other in there]
    st.page_link(
        st.session_state["pages"]["trajectories"],
        label=f"“{group.name}” as a group on Trajectories",
        icon=":material/add_chart:",
        query_params={TRAJECTORIES: [*others, group.url()]},
    )


def group_title(store: Store, text: str) -> str:
    """The named group's title for its name or clause, else the clause itself, shortened."""
    named = store.named_groups
    if text in named:
        return named[text].title
    titles = {group.clause: group.title for group in named.values()}
    return titles.get(text) or shortened(text)


def shortened(text: str, longest: int = 80) -> str:
    """On one line, and cut where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
