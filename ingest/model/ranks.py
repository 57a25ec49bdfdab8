"""Several processes that train one model: torch.distributed's ranks, or just one without it."""

from collections.abc import Callable
from typing import TypeVar

from torch import distributed

from ingest.errors import IngestError, first_line
from ingest.model.memory import is_out_of_memory

T = TypeVar("T")


def n_ranks() -> int:
    """How many processes there are."""
    available = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if available else 1


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if n_ranks() > 1 else 0


def on_all_ranks(task: Callable[[], T]) -> list[T]:
    """What the task returns on each rank; every rank must call this.

    If it fails on one, all raise IngestError: one that went on would wait for the others forever.
    """
    result: T | None = None
    problem: Exception | None = None
    try:
        result = task()
    except Exception as error:  # a model's code may raise any class
        problem = error
    gathered = [(result, _sentence(problem))] * n_ranks()
    if n_ranks() > 1:
        distributed.all_gather_object(gathered, gathered[0])
    for _, sentence in gathered:
        if sentence:
            raise IngestError(sentence) from problem
    return [found for found, _ in gathered]  # type: ignore[misc]


def _sentence(error: Exception | None) -> str | None:
    if error is None or isinstance(error, IngestError):
        return None if error is None else str(error)
    if is_out_of_memory(error):
        return (
            f"a single window does not fit into the memory that training leaves "
            f"({first_line(error)}): give a smaller context_length"
        )
    return (
        f"the losses cannot be recorded ({type(error).__name__}: {first_line(error)}): fix this "
        "and start again from the last save; the store continues"
    )
