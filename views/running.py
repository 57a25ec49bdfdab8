"""A person's query in a thread of its own: how far it is, how it ended, a way to stop it."""

import threading
import time

import pandas as pd

from queries import QueryError, Store

AWAY = 10.0
"""Seconds after which a query that no page looks at any more is stopped."""


class _Stop(threading.Event):
    """Set by a person; or by itself, as nobody tells when a browser was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = time.monotonic()

    def is_set(self) -> bool:
        return super().is_set() or time.monotonic() - self.looked > AWAY


class Running:
    """A query that runs, or has ended: then with an answer, or with the trouble as a sentence."""

    def __init__(self, store: Store, query: str) -> None:
        self.query = query
        self.share = 0.0
        self.answer: pd.DataFrame | None = None
        self.trouble = "the query ended without an answer: ask again"
        self._began = time.monotonic()
        self._took: float | None = None
        self._stop = _Stop()
        self._thread = threading.Thread(
            target=self._run, args=(store,), daemon=True, name="a person's query"
        )
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def cancelled(self) -> bool:
        """Was it stopped before it had an answer?"""
        return self._stop.is_set() and self.answer is None

    @property
    def seconds(self) -> float:
        """Since it began; of one that has ended, what it took."""
        return self._took if self._took is not None else time.monotonic() - self._began

    def look(self, wait: float = 0.0) -> None:
        """Somebody still wants the answer; waits so many seconds for it."""
        self._stop.looked = time.monotonic()
        self._thread.join(wait)

    def cancel(self) -> None:
        self._stop.set()

    def _run(self, store: Store) -> None:
        try:
            self.answer = store.sql(self.query, self._tell, self._stop)
        except QueryError as error:
            self.trouble = str(error)
        finally:
            self._took = time.monotonic() - self._began

    def _tell(self, share: float) -> None:
        self.share = share
