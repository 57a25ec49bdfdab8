"""The groups that a user has selected, and how they are written in a URL."""

import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count

from queries import GroupError, Store
from queries.charts import theme
from queries.groups.templates import from_data, from_json, to_json

_COLOR = re.compile("#[0-9a-fA-F]{6}")
LOOKS = 1_000
"""More than a page can have groups."""
_ids = count()


@dataclass(frozen=True)
class SelectedGroup:
    """A group as the user entered it: `text` is a name or SQL, `built` holds templates as JSON."""

    text: str = ""
    built: str = ""
    name: str = ""
    color: str = ""
    """The user's own colour, which replaces that of its look."""
    look: int | None = None
    """Its place in the palette (`theme.look`), which it keeps while others come and go."""
    muted: bool = False
    """Listed, but not drawn."""
    number: int = dataclasses.field(default_factory=lambda: next(_ids), compare=False)
    """Distinguishes it from the other groups of this process; not in the URL."""

    @property
    def key(self) -> tuple[str, str]:
        """The same for groups that differ only in how they are shown."""
        return self.text, self.built

    @property
    def shown_color(self) -> str:
        """As #rrggbb."""
        return self.color or theme.look(self.look or 0)[0]

    @property
    def dash(self) -> list[int]:
        """Its line, as Vega's strokeDash."""
        return theme.look(self.look or 0)[1]

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
        facts = dataclasses.asdict(replace(self, number=0))
        facts = {name: v for name, v in facts.items() if v or (name == "look" and v is not None)}
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
        color = color if _COLOR.fullmatch(color) else ""
        look = facts.get("look")
        look = look if type(look) is int and 0 <= look < LOOKS else None
        made = SelectedGroup(text, built, name, color, look, facts.get("muted") is True)
        _ = made.clause
    except (ValueError, RecursionError, GroupError):
        return SelectedGroup(value)
    return made if made.text or made.built else SelectedGroup(value)


def with_looks(groups: Iterable[SelectedGroup]) -> tuple[SelectedGroup, ...]:
    """Each group with a look: its own, or the first one that no other has."""
    groups = tuple(groups)
    used = {group.look for group in groups if group.look is not None}
    free = (look for look in count() if look not in used)
    return tuple(g if g.look is not None else replace(g, look=next(free)) for g in groups)


def urls(groups: Sequence[SelectedGroup]) -> list[str]:
    """The values of a URL's parameter, without looks that are those of their places."""
    if [group.look for group in groups] == list(range(len(groups))):
        groups = [replace(group, look=None) for group in groups]
    return [group.url() for group in groups]


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
