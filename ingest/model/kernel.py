"""The loss kernel: a model and windows of tokens -> the scores of every scored token.

Windows are batched by length. If the logits are a plain product of hidden states and the head's
weights, scores are computed from the hidden states, block by block, in float32; otherwise from the
full forward's logits. Logits are never held for a whole batch. `softmax` says what scores are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, masking_utils

from ingest.model.batches import DeviceWindows
from ingest.model.memory import Budget, is_out_of_memory
from ingest.model.precision import Precision, float32_products, trunk_products
from ingest.model.softmax import SCORES, head_scores, logit_scores

_PROBE_TOKENS = 8
_WIDE = 1_000.0  # logits beyond any cap


def token_losses(
    model: PreTrainedModel,
    windows: list[np.ndarray],
    budget: Budget | None = None,
    first: np.ndarray | None = None,
    precision: Precision = "highest",
) -> np.ndarray:
    """Losses float32 (rows,) of windows int64 (length,) each, row by row through the windows.

    Token i + 1 is predicted from tokens 0 … i, so a window has length - 1 rows; or length - first
    if `first`, int64 (windows,), gives the index of its first scored token. Raises as `score` does.
    """
    losses: np.ndarray
    (losses,) = token_scores(model, windows, budget, first, precision, predictions=False)
    return losses


def token_scores(
    model: PreTrainedModel,
    windows: list[np.ndarray],
    budget: Budget | None = None,
    first: np.ndarray | None = None,
    precision: Precision = "highest",
    predictions: bool = True,
) -> np.ndarray:
    """The same with predictions: SCORES float32 (5, rows)."""
    placed = DeviceWindows(windows, model.device, first)
    scores = unscored(placed, predictions)
    for _ in score(model, placed, scores, budget or Budget(), precision):
        pass
    return placed.in_row_order(scores)


def unscored(windows: DeviceWindows, predictions: bool) -> torch.Tensor:
    """NaN float32 (1 or 5, rows) on the windows' device, for `score` to fill in."""
    shape = (len(SCORES) if predictions else 1, windows.n_rows)
    return torch.full(shape, torch.nan, device=windows.device)


def score(
    model: PreTrainedModel,
    windows: DeviceWindows,
    scores: torch.Tensor,
    budget: Budget,
    precision: Precision = "highest",
    compiled: bool = False,
) -> Iterator[int]:
    """Fill `scores` (see `unscored`), in the windows' sorted order, batch by batch.

    Yields how many rows each batch has, once it is computed or, on an accelerator, queued. A batch
    that does not fit into memory is retried in halves; if a single window does not fit, torch's
    error is raised. `compiled` compiles the softmax, too, on an accelerator; the caller compiles
    the model. Raises IndexError for tokens and positions that the model does not have.
    """
    _refuse_beyond(model, windows)
    head = plain_head(model, windows.beginning(_PROBE_TOKENS))
    forward = _Forward(model, head, precision, compiled, len(scores) > 1)
    room = budget.room(model)
    begin, refused = 0, 0
    while begin < len(windows.lengths):
        longest = int(windows.lengths[begin])  # the padded length of the batch
        fitting = budget.fitting(model, longest, not head, room)
        end = min(begin + max(fitting // longest, 1), len(windows.lengths))
        rows, n_padded = windows.rows(begin, end), (end - begin) * longest
        if not _fill_if_it_fits(forward, windows, (begin, end), scores[:, rows]):
            refused = refused or n_padded
            budget.halve(n_padded, model.device)
            continue
        if refused:
            budget.notice(f"out of memory: batches of {budget.tokens:,} tokens, not {refused:,}")
            refused = 0
        yield rows.stop - rows.start
        begin = end


def _refuse_beyond(model: PreTrainedModel, windows: DeviceWindows) -> None:
    """A CUDA device that reads beyond an embedding serves no later checkpoint, either."""
    head, read = model.get_output_embeddings(), model.get_input_embeddings()
    for table in (read, head):
        n_types = len(table.weight) if isinstance(table, nn.Embedding | nn.Linear) else None
        if n_types is not None and windows.largest >= n_types:
            raise IndexError(f"token {windows.largest} is not among {n_types:,} types")
    limit, seen = getattr(model.config, "max_position_embeddings", None), windows.lengths[0] - 1
    for table in model.modules():
        # Learned positions: as many as the context, or a few more (OPT has two).
        if isinstance(table, nn.Embedding) and table is not read and isinstance(limit, int):
            n = table.num_embeddings
            if limit <= n <= limit + 2 and seen > limit:
                raise IndexError(f"{seen:,} tokens exceed its {limit:,} positions")


@dataclass(frozen=True)
class _Forward:
    """A model and how its scores are computed. `head` is None if they need its full forward."""

    model: PreTrainedModel
    head: nn.Linear | None
    precision: Precision
    compiled: bool
    predictions: bool

    @torch.inference_mode()
    def scores(self, windows: DeviceWindows, begin: int, end: int) -> torch.Tensor:
        """Scores float32 (1 or 5, rows) of windows `begin` to `end` (exclusive), in sorted order.

        Padding is on the right, where a causal model never looks, so it needs no attention mask.
        """
        batch = windows.batch(begin, end)
        part = self.model if self.head is None else self.model.base_model
        with trunk_products(self.precision, self.model), _no_search_for_packed_windows():
            output = part(input_ids=batch.ids, use_cache=False)
        if self.head is None:
            logits = output.logits.flatten(0, 1)
            return logit_scores(logits, batch.position, batch.targets, self.predictions)
        hidden = output[0].flatten(0, 1)[batch.position]
        with float32_products(self.precision):
            return head_scores(hidden, self.head, batch.targets, self.predictions, self.compiled)


@contextmanager
def _no_search_for_packed_windows() -> Iterator[None]:
    """Inside, transformers does not look for several texts in one window, of which we have none.

    It would wait for the device once per batch to see the result.
    """
    name = "find_packed_sequence_indices"
    search = getattr(masking_utils, name, None)
    if search is not None:
        setattr(masking_utils, name, _found_none)
    try:
        yield
    finally:
        if search is not None:
            setattr(masking_utils, name, search)


def _found_none(_: torch.Tensor) -> None:
    """One function for all batches: torch.compile starts again when a global changes."""


def _fill_if_it_fits(
    forward: _Forward, windows: DeviceWindows, part: tuple[int, int], scores: torch.Tensor
) -> bool:
    """Fill in `scores` (1 or 5, rows of this part); False if several windows exceed the memory."""
    try:
        scores.copy_(forward.scores(windows, *part))
    except Exception as error:
        if part[1] - part[0] == 1 or not is_out_of_memory(error):
            raise
        return False  # the error, and all memory that it refers to, is released
    return True


# It would be compiled for this one call: here, and below.
@torch.compiler.set_stance("force_eager")  # type: ignore[untyped-decorator]
@torch.inference_mode()
def plain_head(model: PreTrainedModel, window: np.ndarray) -> nn.Linear | None:
    """The head, if logits are `head(base_model(…))` and nothing else; otherwise None.

    Models may cap or scale logits after the head (Gemma 2, Cohere, Granite), or hidden states
    before it. One full forward of the beginning of `window`, int64 (length,), detects both: the
    head must receive what the base model returns by itself, and the model must return the head's
    output unchanged. The head is made to return wide logits, which reveal a cap for any weights.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or model.base_model is model:
        return None
    ids = torch.from_numpy(window[None, :_PROBE_TOKENS]).to(model.device)
    received: list[torch.Tensor] = []
    returned: list[torch.Tensor] = []

    def replace(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> object:
        wide = torch.linspace(-_WIDE, _WIDE, output.numel(), device=output.device)
        received.append(inputs[0])
        returned.append(wide.view_as(output).to(output.dtype))
        return returned[-1]

    hook = head.register_forward_hook(replace)
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        hook.remove()
    if len(received) != 1 or logits.shape != returned[0].shape:
        return None
    hidden = model.base_model(input_ids=ids, use_cache=False)[0]
    unchanged = torch.equal(logits.float(), returned[0].float())
    return head if unchanged and _equal_up_to_rounding(received[0], hidden) else None


def _equal_up_to_rounding(received: torch.Tensor, hidden: torch.Tensor) -> bool:
    """Mixtures of experts may round differently in each forward."""
    if received.shape != hidden.shape:
        return False
    rounding = max(1e-4, 4 * torch.finfo(hidden.dtype).eps)
    difference = (received.float() - hidden.float()).abs().max()
    return bool(difference <= rounding * hidden.float().abs().max())


@torch.compiler.set_stance("force_eager")  # type: ignore[untyped-decorator]
@torch.inference_mode()
def looks_ahead(model: PreTrainedModel, window: np.ndarray) -> bool:
    """Do logits depend on later tokens, as in an encoder? Such losses would mean nothing.

    Compares two copies of the beginning of `window`, int64 (length,), that differ in their last
    token only.
    """
    ids = torch.from_numpy(np.stack([window[:_PROBE_TOKENS]] * 2)).to(model.device)
    ids[1, -1] = (ids[1, -1] + 1) % model.config.get_text_config().vocab_size
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    # Mixtures of experts round differently in another batch, which is not looking ahead.
    rounding = max(1e-4, 4 * torch.finfo(model.dtype).eps)
    return bool((logits[0] - logits[1]).abs().max() > rounding * logits.abs().max())
