"""A store's files as they were when it was opened: are there new checkpoints, or other files?"""

import hashlib
from pathlib import Path

from store.layout import Layout

SAME, NEW, REPLACED = "same", "new checkpoints", "replaced"


class Opened:
    """`files` are the loss files by checkpoint; `stamp` tells this state of a store from others."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.files = layout.scored()
        self._stamps = self._now()
        self.stamp = hashlib.sha256(repr(self._stamps).encode()).hexdigest()

    def state(self) -> str:
        """SAME, NEW (checkpoints beside the known ones) or REPLACED (a known file is another)."""
        if self._now() != self._stamps:
            return REPLACED
        return NEW if self._layout.scored().keys() != self.files.keys() else SAME

    def _now(self) -> list[tuple[int, int] | None]:
        """Size and time of what is written once: the text's files and the known loss files."""
        text = [self._layout.manifest, self._layout.docs, self._layout.tokens]
        return [_stamp(path) for path in (*text, *self.files.values())]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of writing in ns; None where the file is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
