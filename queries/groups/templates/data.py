"""Templates to plain data and back: dicts, and JSON for a page's URL."""

import dataclasses
import json
import re
from typing import Any

from queries.errors import GroupError
from queries.groups.templates import combined, conditions
from queries.groups.templates.base import Template

DEEPEST = 20
"""Maximum depth of nested templates."""
KINDS: dict[str, type[Template]] = {
    re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(): kind
    for kind in (
        conditions.Position,
        conditions.PositionRange,
        conditions.WordStart,
        conditions.Words,
        conditions.Pattern,
        conditions.Frequency,
        conditions.SeenBefore,
        conditions.Docs,
        conditions.Sources,
        conditions.Previous,
        conditions.WordPart,
        conditions.Written,
        conditions.Changed,
        conditions.ChangedBetween,
        conditions.Rows,
        conditions.TokenTypes,
        combined.Not,
        combined.And,
        combined.Or,
    )
}
"""position, position_range, word_start, … -> class"""
_NAMES = {kind: name for name, kind in KINDS.items()}


def to_data(template: Template) -> dict[str, Any]:
    """A dict of kind and fields, such as {"kind": "words", "words": ["Obama", "Bush"]}."""
    fields = dataclasses.fields(template)  # type: ignore[arg-type]  # all of KINDS are dataclasses
    values = {field.name: _plain(getattr(template, field.name)) for field in fields}
    return {"kind": _NAMES[type(template)], **values}


def from_data(data: Any, depth: int = 0) -> Template:
    """The template of a dict of `to_data`. Raises GroupError for anything else."""
    if not isinstance(data, dict) or str(data.get("kind")) not in KINDS:
        raise GroupError(f"{data!r:.80} is not a group: expected a kind among {', '.join(KINDS)}")
    if depth >= DEEPEST:
        raise GroupError(f"the group is nested more than {DEEPEST} levels deep: simplify it")
    values = {name: _made(value, depth) for name, value in data.items() if name != "kind"}
    try:
        return KINDS[data["kind"]](**values)
    except TypeError as error:  # an unknown or missing field
        known = [field.name for field in dataclasses.fields(KINDS[data["kind"]])]  # type: ignore[arg-type]
        raise GroupError(
            f"a group of the kind {data['kind']} has {', '.join(known) or 'no more fields'}, "
            f"found {', '.join(map(repr, values)) or 'none'}"
        ) from error


def to_json(template: Template) -> str:
    """The same as a short text."""
    return json.dumps(to_data(template), ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> Template:
    """The template of a text of `to_json`. Raises GroupError."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GroupError(f"{text!r:.80} is not a group in JSON: {error}") from error
    return from_data(data)


def _plain(value: Any) -> Any:
    if isinstance(value, Template):
        return to_data(value)
    return list(map(_plain, value)) if isinstance(value, tuple) else value


def _made(value: Any, depth: int) -> Any:
    if isinstance(value, list):
        return tuple(from_data(v, depth + 1) if isinstance(v, dict) else v for v in value)
    return from_data(value, depth + 1) if isinstance(value, dict) else value
