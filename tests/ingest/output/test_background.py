"""Background tasks run one at a time alongside the main work, and their failures are raised."""

import threading
import time

import pytest

from ingest.scoring import background_task


def test_it_does_not_wait_until_the_next_piece() -> None:
    gate = threading.Event()
    done: list[int] = []

    def wait() -> None:
        if gate.wait(20):
            done.append(1)

    with background_task("test") as going:
        going.start(wait)
        going.check()
        assert done == []
        gate.set()
        going.start(lambda: done.append(2))
        assert done[0] == 1
    assert done == [1, 2]


def fail() -> None:
    raise OSError("disk full")


def test_a_failure_is_raised_at_the_next_question() -> None:
    with background_task("test") as going:
        going.start(fail)
        with pytest.raises(OSError, match="disk full"):
            while True:
                going.check()
                time.sleep(0.001)
    with pytest.raises(OSError, match="disk full"), background_task("test") as going:
        going.start(fail)


def test_an_interruption_waits_for_what_is_half_done() -> None:
    done: list[int] = []

    def slowly() -> None:
        time.sleep(0.1)
        done.append(1)

    with pytest.raises(KeyboardInterrupt), background_task("test") as going:
        going.start(slowly)
        raise KeyboardInterrupt
    assert done == [1]
