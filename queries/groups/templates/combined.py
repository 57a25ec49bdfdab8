"""Groups made of groups: Not, And, Or.

A token for which a condition is NULL, as one on `word` is for a comma, is not a member, so it is a
member of the condition's `Not`: each token is in exactly one of the two.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from queries.errors import GroupError
from queries.groups.templates.base import Template, check_filled


@dataclass(frozen=True)
class Not(Template):
    """All tokens except those of a group."""

    of: Template

    def __post_init__(self) -> None:
        _check_template(self.of)

    def sql(self) -> str:
        return f"({self.of.sql()}) is not true"

    def phrase(self) -> str:
        return f"other than those {_bracketed(self.of)}"


@dataclass(frozen=True)
class _Several(Template):
    of: tuple[Template, ...]
    word: ClassVar[str]

    def __post_init__(self) -> None:
        check_filled(f"groups that {self.word} joins", self.of)
        for part in self.of:
            _check_template(part)

    def sql(self) -> str:
        parts = (f"({p.sql()})" if isinstance(p, _Several) else p.sql() for p in self.of)
        return f" {self.word} ".join(parts)

    def phrase(self) -> str:
        return f" {self.word} ".join(map(_bracketed, self.of))


class And(_Several):
    """Tokens that are in each of some groups."""

    word = "and"


class Or(_Several):
    """Tokens that are in at least one of some groups."""

    word = "or"


def _bracketed(part: Template) -> str:
    """A phrase within another, so that it is clear where it ends."""
    return f"({part.phrase()})" if isinstance(part, _Several | Not) else part.phrase()


def _check_template(part: Any) -> None:
    if not isinstance(part, Template):
        raise GroupError(f"{part!r} is not a group: expected a template, such as Position(500)")
