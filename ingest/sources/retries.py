"""Retry what fails for a passing reason: connection resets, rate limits, damaged downloads."""

import logging
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, XetDownloadError

from ingest.errors import first_line
from store.network import is_unresolved

# The client under huggingface_hub, which lets its exceptions through; httpx under version 1.
_CLIENTS = [import_module(name) for name in ("httpx2", "httpx") if find_spec(name)]

TRANSPORT_ERRORS: tuple[type[Exception], ...] = tuple(c.TransportError for c in _CLIENTS)
"""What the client raises if there is no connection, or if it breaks."""
DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds, on top of the client's own retries
_TRANSIENT_STATUS = {408, 425, 429}
_LONGEST_WAIT = 600.0
_Result = TypeVar("_Result")


class DamagedError(Exception):
    """A downloaded file differs from the published one."""


def with_retries(action: Callable[[], _Result]) -> _Result:
    """The action's result, after up to seven attempts with growing pauses.

    A longer Retry-After from the Hub is respected. Raises what the last attempt raised; permanent
    failures (no such file, a full disk) are raised at once.
    """
    for delay in DELAYS:
        try:
            return action()
        except Exception as error:
            if not is_transient(error):
                raise
            pause = min(max(delay, _retry_after(error)), _LONGEST_WAIT)
            logging.getLogger(__name__).warning("%s; retrying in %.0f s", reason(error), pause)
            time.sleep(pause)
    return action()


def is_transient(error: BaseException | None) -> bool:
    """Is another attempt likely to succeed?"""
    if isinstance(error, LocalEntryNotFoundError):  # raised from the error that caused it
        return is_transient(error.__cause__)
    if is_unresolved(error):
        return False
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return status in _TRANSIENT_STATUS or status >= 500
    if isinstance(error, OSError):  # the client's check of sizes sets no errno; a full disk does
        return error.errno is None or isinstance(error, (ConnectionError, TimeoutError))
    return isinstance(error, (*TRANSPORT_ERRORS, XetDownloadError, DamagedError))


def is_local_failure(error: Exception) -> bool:
    """Is it a full or forbidden disk, on which every other checkpoint would fail, too?"""
    return isinstance(error, OSError) and error.errno is not None and not is_transient(error)


def reason(error: Exception) -> str:
    """One line for a message. "Not found locally" is no reason: what caused it is."""
    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else None
    found = cause if isinstance(cause, Exception) else error
    offline = ": is this machine connected to the network?" if is_unresolved(found) else ""
    return first_line(found) + offline


def _retry_after(error: Exception) -> float:
    if isinstance(error, HfHubHTTPError):
        wanted = error.response.headers.get("Retry-After", "")
        return float(wanted) if wanted.isdigit() else 0.0
    return 0.0
