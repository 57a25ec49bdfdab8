"""A query that somebody waits for: how far it is, and a way to stop it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

Share = Callable[[float], None]
_EVERY = 0.1  # seconds


@contextmanager
def followed(
    cursor: duckdb.DuckDBPyConnection, progress: Share | None, cancel: threading.Event | None
) -> Iterator[None]:
    """While the block runs, `progress` is told the share done, 0 to 1, as far as DuckDB knows it.

    It is called from a thread of its own. Once `cancel` is set, the query is interrupted.
    """
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(_EVERY):
            if cancel and cancel.is_set():
                cursor.interrupt()  # again and again, as between two steps it would be lost
            elif progress and (percent := cursor.query_progress()) >= 0:
                progress(min(percent / 100, 1.0))

    thread = threading.Thread(target=follow, daemon=True, name="following a query")
    if progress or cancel:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.ident:
            thread.join()
