"""One model that stands, and into which the weights of checkpoint after checkpoint are put."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ingest.errors import IngestError, first_line
from ingest.model.loading import COMPUTED, load_model
from ingest.sources.prefetch import Arrival, Tensors

# What config.json says of its writing, not of the model.
_OF_NO_MATTER = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
Places = dict[str, torch.Tensor]


class Standing:
    """Builds the model of the first checkpoint, and again where a later one is unusual in any way.

    A checkpoint's weights are put into the model that stands only where its config.json, the names
    and the shapes are those of the checkpoint that built it, and where for that one each tensor of
    the files was found, unchanged, as a weight of the model, and no weight without its tensor.
    """

    def __init__(
        self, dtype: str, device: str, attention: str | None = None, compiled: bool = False
    ) -> None:
        self._dtype, self._device = dtype, device
        self._attention, self._compiled = attention, compiled
        self._model: PreTrainedModel | None = None
        self._config: dict[str, Any] | None = None
        self._places: Places = {}
        self.built = 0

    def put(self, arrival: Arrival) -> PreTrainedModel:
        """The model with these weights, which are taken out of the arrival: their file is freed.

        Raises CheckpointError as load_model does.
        """
        model = self._put(arrival)
        if arrival.tensors:
            arrival.tensors.clear()
        return model

    def _put(self, arrival: Arrival) -> PreTrainedModel:
        config = _config(arrival.checkpoint.path)
        tensors = arrival.tensors
        same = config is not None and config == self._config
        if self._model is not None and tensors and same and _fit(self._places, tensors):
            _fill(self._places, tensors)
            return self._model
        model = load_model(arrival.checkpoint, self._dtype, "cpu", self._attention)
        self._model, self._places = None, {}  # two never stand on the device
        self._model = _own(model).to(self._device)
        self._config, self._places = config, _places(self._model, tensors or {})
        self.built += 1
        if self._compiled:
            self._model.base_model.compile(dynamic=True)
        return self._model


def refuse_compiling() -> None:
    """Raises IngestError where torch.compile does not work on this machine."""
    try:
        torch.compile(lambda x: torch.sin(x) + 1)(torch.ones(2))
    except Exception as error:  # any library error: no compiler, no headers
        raise IngestError(
            f"--compile cannot be used here ({first_line(error)}): leave it out, or install a C++ "
            "compiler"
        ) from error


def _config(folder: Path) -> dict[str, Any] | None:
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return {k: v for k, v in values.items() if k not in _OF_NO_MATTER}
    except (OSError, ValueError, AttributeError):
        return None


def _own(model: PreTrainedModel) -> PreTrainedModel:
    """Weights in memory of their own: they are loaded as a map of a file that will be freed."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model


def _places(model: PreTrainedModel, tensors: Tensors) -> Places:
    """Where each tensor of the files stands in the model; empty unless all is as it seems."""
    targets: Places = model.state_dict(keep_vars=True)
    places = _by_name(targets, tensors, f"{model.base_model_prefix}.")
    filled = {id(target) for target in places.values()}
    empty = {id(t): t for t in targets.values() if id(t) not in filled}
    strange = [k for k in tensors if k not in places and not k.endswith(COMPUTED)]
    if len(strange) == len(empty) == 1:  # a renamed head, as GPT-NeoX's embed_out
        places[strange.pop()] = empty.popitem()[1]
    known = all(_holds(target, tensors[key]) for key, target in places.items())
    return places if known and not strange and not empty else {}


def _by_name(targets: Places, tensors: Tensors, prefix: str) -> Places:
    """Files may hold the base model alone, whose names lack its prefix, and the other way round."""
    places: Places = {}
    for key in tensors:
        for name in (key, prefix + key, key.removeprefix(prefix)):
            if name in targets:
                places.setdefault(key, targets[name])
    return places


def _holds(target: torch.Tensor, tensor: torch.Tensor) -> bool:
    if target.shape != tensor.shape or not tensor.is_floating_point():
        return False
    return torch.equal(target.detach().cpu(), tensor.to(target.dtype))


def _fit(places: Places, tensors: Tensors) -> bool:
    wanted = {key for key in tensors if key in places or not key.endswith(COMPUTED)}
    return (
        bool(places)
        and wanted == places.keys()
        and all(
            tensors[key].shape == target.shape and tensors[key].is_floating_point()
            for key, target in places.items()
        )
        and _tied_agree(places, tensors)
    )


def _tied_agree(places: Places, tensors: Tensors) -> bool:
    """Files that hold a tied weight under both its names hold it twice the same."""
    first: dict[int, str] = {}
    for key, target in places.items():
        other = first.setdefault(id(target), key)
        if other != key and not torch.equal(tensors[other], tensors[key]):
            return False
    return True


@torch.no_grad()
def _fill(places: Places, tensors: Tensors) -> None:
    for key, target in places.items():
        target.copy_(tensors[key])
