"""One piece of work in the background, such as writing a file, while the main work goes on."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager


class Background:
    """At most one piece of work at once. What it raises is raised here, as soon as it is asked."""

    def __init__(self, worker: ThreadPoolExecutor) -> None:
        self._worker = worker
        self._going: Future[None] | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Waits for the work before, if that has not ended."""
        self.finish()
        self._going = self._worker.submit(work)

    def check(self) -> None:
        """Raises what failed; does not wait."""
        if self._going and self._going.done():
            self.finish()

    def finish(self) -> None:
        """Waits for the end of what is going on."""
        going, self._going = self._going, None
        if going:
            going.result()


@contextmanager
def background(name: str) -> Iterator[Background]:
    """Leaving it, also by an exception, waits until what has been started is whole."""
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
    try:
        going = Background(worker)
        yield going
        going.finish()
    finally:
        worker.shutdown(wait=True)
