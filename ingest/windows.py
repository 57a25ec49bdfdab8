"""How a document's tokens are cut into the windows that the model sees."""

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.errors import IngestError


@dataclass(frozen=True)
class Convention:
    """How a text is cut: at most `context_length` tokens a doc, the BOS included.

    `stride` is the least context, the BOS included, of every token but those of a document's first
    window; None means windows that do not overlap. Raises IngestError for one that cannot be.
    """

    context_length: int
    bos_id: int | None
    max_parts: int | None = None
    stride: int | None = None
    limit_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.stride is not None and not 1 <= self.stride < self.context_length:
            raise IngestError(
                f"--stride is {self.stride}, the least context of a token: expected 1 to "
                f"{self.context_length - 1}, less than the context length"
            )

    @property
    def room(self) -> int:
        """Text tokens that fit into one doc."""
        return self.context_length - (self.bos_id is not None)

    @property
    def advance(self) -> int:
        """Text tokens by which each window starts later than the one before."""
        return self.room if self.stride is None else self.context_length - self.stride


@dataclass(frozen=True)
class Window:
    """The model sees tokens `start` to `end` (exclusive) of a document, and those from `first` on
    are predicted here: the ones before were, with more context, in an earlier window."""

    part: int
    start: int
    first: int
    end: int


def windows(n_tokens: int, convention: Convention, left: int | None = None) -> Iterator[Window]:
    """The windows of a document of so many tokens that predict anything, `left` tokens at most.

    Each token is predicted in the first window that holds it, which gives it most context.
    """
    seen = predicted = 0
    starts = range(0, n_tokens, convention.advance)[: convention.max_parts]
    for part, start in enumerate(starts):
        end = min(start + convention.room, n_tokens)
        # Without a BOS, nothing stands before a document's first token, nor before a window's.
        first = max(seen, start + (convention.bos_id is None))
        if left is not None:
            end = min(end, first + left - predicted)
        if first < end:
            yield Window(part, start, first, end)
            predicted += end - first
        if end == n_tokens or predicted == left:
            break
        seen = end
