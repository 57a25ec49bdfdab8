"""What passes is tried again, with growing pauses or the Hub's own; what does not is raised."""

import errno
import socket
import time
from typing import Any

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from ingest.sources.retries import DELAYS, DamagedError, reason, with_retries


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each pause would have been, in seconds."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def answer(status: int, **headers: str) -> HfHubHTTPError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = httpx2.Request("GET", "http://hub/x")
    response = httpx2.Response(status, headers=named, request=request)
    return HfHubHTTPError(f"{status} from the Hub", response=response)


def failing(times: int, error: Exception) -> Any:
    """An action that fails so many times, then counts its calls."""
    calls: list[int] = []

    def action() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return action


PASSING = [
    *(answer(status) for status in (408, 429, 500, 502, 503, 504)),
    httpx2.ConnectError("refused"),
    httpx2.ReadError("reset"),
    httpx2.ReadTimeout("slow"),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    OSError("Consistency check failed: file should be of size 9"),
    DamagedError("sha256"),
]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_passes_is_tried_again(pauses: list[float], error: Exception) -> None:
    assert with_retries(failing(2, error)) == 3
    assert pauses == [1, 2]


@pytest.mark.parametrize("error", PASSING[:1], ids=str)
def test_in_the_end_it_is_raised(pauses: list[float], error: Exception) -> None:
    with pytest.raises(HfHubHTTPError):
        with_retries(failing(99, error))
    assert pauses == list(DELAYS) == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize(
    "error",
    [
        answer(401),
        answer(403),
        answer(404),
        OSError(errno.ENOSPC, "full"),
        ValueError("a bug"),
        LocalEntryNotFoundError("offline"),
    ],
    ids=str,
)
def test_what_does_not_pass_is_raised_at_once(pauses: list[float], error: Exception) -> None:
    with pytest.raises(type(error)):
        with_retries(failing(1, error))
    assert pauses == []


def test_the_client_hides_reasons_behind_what_it_did_not_find(pauses: list[float]) -> None:
    error = LocalEntryNotFoundError("not here")
    error.__cause__ = answer(503)
    assert with_retries(failing(1, error)) == 2


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry_After": "120"}, 120),
        ({"Retry_After": "0"}, 1),
        ({"Retry_After": "999999"}, 600),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 1),
        ({}, 1),
    ],
)
def test_the_hub_says_how_long_to_wait(
    pauses: list[float], headers: dict[str, str], pause: int
) -> None:
    assert with_retries(failing(1, answer(429, **headers))) == 2
    assert pauses == [pause]


@pytest.mark.parametrize(("code", "again"), [(socket.EAI_NONAME, []), (socket.EAI_AGAIN, [1.0])])
def test_a_name_that_does_not_exist_is_not_asked_for_again(
    pauses: list[float], code: int, again: list[float]
) -> None:
    error = httpx2.ConnectError("name")
    error.__cause__ = socket.gaierror(code, "no such name")
    if again:
        assert with_retries(failing(1, error)) == 2
    else:
        with pytest.raises(httpx2.ConnectError):
            with_retries(failing(1, error))
        assert "is this machine connected to the network?" in reason(error)
    assert pauses == again
