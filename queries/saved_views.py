"""Named views of the app, saved in the store as `views/NAME.json`, as groups are.

A view has the page, the state that all pages share and the values of the page's own widgets.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queries.errors import QueryError
from queries.store import Store
from store.files import whole_file

_NAME = re.compile(r"[\w][\w .,()+-]{0,79}")


@dataclass(frozen=True)
class View:
    """A saved view."""

    name: str
    page: str
    """Its path in the URL."""
    query: dict[str, list[str]]
    own: dict[str, Any]
    """Values of the page's own widgets, by their keys."""


def saved(store: Store) -> list[View]:
    """The views of a store by name; files that are no views are left out."""
    if store.url:
        return []
    found = []
    for path in sorted(_folder(store).glob("*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            query = {name: [str(v) for v in facts["query"][name]] for name in facts["query"]}
            found.append(View(path.stem, str(facts["page"]), query, dict(facts["own"])))
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            continue
    return found


def save(store: Store, view: View) -> None:
    """Write the view's file, completely or not at all. Raises QueryError."""
    if not _NAME.fullmatch(view.name) or view.name.endswith("."):
        raise QueryError(
            f"{view.name!r} cannot be the name of a view: use up to 80 letters, digits, blanks "
            "and . , ( ) + - and begin with a letter or digit"
        )
    if store.url:
        raise QueryError("views are saved in the store's folder, and this store is at a URL")
    content = {"page": view.page, "query": view.query, "own": view.own}
    try:
        _folder(store).mkdir(exist_ok=True)
        with whole_file(_folder(store) / f"{view.name}.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    except OSError as error:
        raise _not_written(store, error) from error


def delete(store: Store, name: str) -> None:
    """Delete a view's file. Raises QueryError."""
    try:
        (_folder(store) / f"{name}.json").unlink(missing_ok=True)
    except OSError as error:
        raise _not_written(store, error) from error


def _folder(store: Store) -> Path:
    return Path(str(store.path)) / "views"


def _not_written(store: Store, error: OSError) -> QueryError:
    return QueryError(f"{_folder(store)} cannot be written: {error.strerror or error}")
