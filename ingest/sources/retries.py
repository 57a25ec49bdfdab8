"""Try again what fails in a way that passes: resets, rate limits, servers down, damaged files."""

import logging
import socket
import time
from collections.abc import Callable
from typing import TypeVar

import httpx2  # the client under huggingface_hub, which lets its exceptions through
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, XetDownloadError

from ingest.errors import first_line

DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds; the client itself retries some requests before
_PASSING_STATUS = {408, 425, 429}
_LONGEST_WAIT = 600.0
_Result = TypeVar("_Result")


class DamagedError(Exception):
    """A file has arrived that is not the one that was published."""


def patiently(action: Callable[[], _Result]) -> _Result:
    """The action's result, after up to seven tries with growing pauses or the Hub's Retry-After.

    Raises what the last try raised, or at once what will not pass (no such file, a full disk).
    """
    for delay in DELAYS:
        try:
            return action()
        except Exception as error:
            if not passes(error):
                raise
            pause = min(max(delay, _retry_after(error)), _LONGEST_WAIT)
            logging.getLogger(__name__).warning("%s; again in %.0f s", reason(error), pause)
            time.sleep(pause)
    return action()


def passes(error: BaseException | None) -> bool:
    """Is it worth trying again?"""
    if isinstance(error, LocalEntryNotFoundError):  # "cannot find it here", for the reason below
        return passes(error.__cause__)
    if _is_unresolved(error):
        return False
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return status in _PASSING_STATUS or status >= 500
    if isinstance(error, OSError):  # the client's own check of sizes has no errno; a full disk has
        return error.errno is None or isinstance(error, (ConnectionError, TimeoutError))
    return isinstance(error, (httpx2.TransportError, XetDownloadError, DamagedError))


def reason(error: Exception) -> str:
    """One line; the client's "cannot find it locally" is no reason, what lies behind it is."""
    behind = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else None
    found = behind if isinstance(behind, Exception) else error
    offline = ": is this machine on the network?" if _is_unresolved(found) else ""
    return first_line(found) + offline


def _is_unresolved(error: BaseException | None) -> bool:
    """The server's name is not known; a name server that is slow or away says otherwise."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return error.errno == socket.EAI_NONAME
        error = error.__cause__ or error.__context__
    return False


def is_of_this_machine(error: Exception) -> bool:
    """A full or forbidden disk: it would fail every other checkpoint, too."""
    return isinstance(error, OSError) and error.errno is not None and not passes(error)


def _retry_after(error: Exception) -> float:
    if isinstance(error, HfHubHTTPError):
        wanted = error.response.headers.get("Retry-After", "")
        return float(wanted) if wanted.isdigit() else 0.0
    return 0.0
