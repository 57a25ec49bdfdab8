"""The Python behind a chart: a call of `queries` that gives its data, for a notebook."""

from typing import Any

from queries import Store


def called(store: Store, function: str, *arguments: Any, part: str = "", **named: Any) -> str:
    """A script whose last line is the call, and of its answer the attribute `part`, if any."""
    values = [repr(value) for value in arguments]
    values += [f"{name}={value!r}" for name, value in named.items()]
    asked = f"{function}({', '.join(['store', *values])})"
    return (
        f"from queries import Store, {function}\n\n"
        f"store = Store({store.url or str(store.path)!r})\n"
        f"{asked}{f'.{part}' if part else ''}"
    )
