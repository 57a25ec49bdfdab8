"""Python code that runs too long is stopped: DuckDB's own interrupt waits for it to return.

An exception is raised in the thread that runs the code, between two steps of the interpreter. So
this stops loops and long computations in Python; what it cannot stop is one call of C code that
does not return, such as time.sleep or a regular expression that backtracks without end, and code
that catches every BaseException.
"""

import ctypes
import threading
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


class TooLateError(BaseException):
    """Raised in code past its deadline; no Exception, so that `except Exception` lets it pass."""


def call_until(deadline: float, call: Callable[[], Answer]) -> Answer:
    """The answer of `call()`; raises TooLateError where it has none by `deadline`.

    `deadline` is a time of time.monotonic, in seconds.
    """
    thread, lock, waiting = threading.get_ident(), threading.Lock(), [True]

    def stop() -> None:
        with lock:
            if waiting:
                _raise_in(thread, TooLateError)

    timer = threading.Timer(max(deadline - time.monotonic(), 0), stop)
    timer.daemon = True
    timer.start()
    try:
        return call()
    finally:
        with lock:
            waiting.clear()
        timer.cancel()
        _raise_in(thread, None)  # one that came too late to be raised would hit other code


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Raise `kind` in a thread at its next step; None takes back what was not raised yet."""
    exception = ctypes.py_object(kind) if kind else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception)
