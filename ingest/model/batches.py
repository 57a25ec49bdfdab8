"""Windows of tokens on the device that scores them, and batches cut from them there.

The tokens are sent once and serve every checkpoint. Cutting a batch sends nothing and never waits
for the device, so an accelerator always has work queued.
"""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Batch:
    """What the model sees, and where the scored tokens are in it.

    ids: int64 (windows, longest - 1), padded with zeros on the right.
    position: int64 (rows,), the index, in the flattened ids, of the token before each scored one.
    targets: int64 (rows,), the scored tokens.
    """

    ids: torch.Tensor
    position: torch.Tensor
    targets: torch.Tensor


class DeviceWindows:
    """Windows sorted by length, longest first, so that batches hold little padding."""

    def __init__(
        self,
        windows: list[np.ndarray],
        device: torch.device | str,
        first: np.ndarray | None = None,
    ) -> None:
        """`windows` are int64 (length,) each; `first`, int64 (windows,), is the index of the first
        scored token in each, 1 by default. All tokens from there on are scored."""
        length = np.array([len(w) for w in windows], dtype=np.int64)
        first = np.ones_like(length) if first is None else first.astype(np.int64)
        order = np.argsort(-length, kind="stable")
        start = np.cumsum(length) - length
        bounds = np.stack([start, first, length], axis=1)[order]
        self.lengths = length[order]
        """int64 (windows,)."""
        self.largest = max(int(w.max()) for w in windows)
        """The largest token id."""
        self._longest = windows[order[0]]
        counts = (length - first)[order]
        self._ends = np.concatenate([[0], np.cumsum(counts)])
        self._row_of = _rows_of(np.cumsum(length - first) - (length - first), counts, order)
        self._ids = torch.from_numpy(np.concatenate(windows).astype(np.int32)).to(device)
        self._bounds = torch.from_numpy(bounds).to(device)

    @property
    def n_rows(self) -> int:
        """How many tokens are scored."""
        return int(self._ends[-1])

    @property
    def device(self) -> torch.device:
        """Where the tokens are."""
        return self._ids.device

    def beginning(self, n_tokens: int) -> np.ndarray:
        """At most `n_tokens` of the longest window, int64 (tokens,), for a short trial."""
        beginning: np.ndarray = self._longest[:n_tokens]
        return beginning

    def rows(self, begin: int, end: int) -> slice:
        """Where the losses of windows `begin` to `end` (exclusive) belong, in sorted order."""
        return slice(int(self._ends[begin]), int(self._ends[end]))

    def batch(self, begin: int, end: int) -> Batch:
        """Windows `begin` to `end` (exclusive), in sorted order."""
        start, first, length = self._bounds[begin:end].unbind(1)
        seen = int(self.lengths[begin]) - 1
        index = torch.arange(seen, device=self.device)
        ids = self._ids[(start[:, None] + index).clamp_(max=len(self._ids) - 1)].long()
        ids = ids.where(index < length[:, None] - 1, 0)
        count = length - first
        rows = self.rows(begin, end)
        n = rows.stop - rows.start  # known here, so that nothing waits for the device
        window = torch.repeat_interleave(count, output_size=n)
        before = count.cumsum(0) - count
        target = torch.arange(n, device=self.device) - before[window] + first[window]
        return Batch(ids, window * seen + target - 1, self._ids[start[window] + target].long())

    def in_row_order(self, values: torch.Tensor) -> np.ndarray:
        """Values (…, rows) in sorted order -> float32, in the order of the windows as given.

        Waits for the device.
        """
        ordered = np.empty(values.shape, dtype=np.float32)
        ordered[..., self._row_of] = values.cpu().numpy()
        return ordered


def _rows_of(first_row: np.ndarray, counts: np.ndarray, order: np.ndarray) -> np.ndarray:
    """int64 (rows,): for each value in sorted order, its row in the order of the windows."""
    starts = np.repeat(first_row[order] - (np.cumsum(counts) - counts), counts)
    return starts + np.arange(len(starts))
