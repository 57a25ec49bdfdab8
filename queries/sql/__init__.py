"""The SQL files, one relation or query per file."""

from functools import cache
from importlib.resources import files


@cache
def read(name: str) -> str:
    """The text of `name`.sql."""
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
