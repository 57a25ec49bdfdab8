"""Weights -> a model that is ready to score: built strictly once, then refilled.

Strictly: nothing may be missing, extra or misshapen, which transformers would fill with random
numbers. Later checkpoints of the same architecture are copied into the model that is there, which
is faster than building one for each.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.activations import NewGELUActivation

from ingest.errors import (
    CheckpointError,
    IngestError,
    first_line,
    needs_remote_code,
    remote_code_advice,
)
from ingest.model.adapters import base_of, merge, refuse_ambiguous
from ingest.model.snapshots import model_digest
from ingest.sources.checkpoint_files import IRRELEVANT_KEYS, is_adapter, weight_files
from ingest.sources.other_layouts import no_weights, without_weights
from ingest.sources.prefetch import FetchedCheckpoint, Tensors, is_dense
from ingest.sources.revisions import Checkpoint

# Loading a .bin file would otherwise ask the Hub to convert the repository, in the background.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Buffers that old checkpoints contain although they are computed, not learned: causal masks and
# their fill values, positions, sinusoids, and fairseq's markers.
_COMPUTED = re.compile(
    r"(^|\.)(attn|attention)\.bias$"
    r"|(^|\.)(masked_bias|causal_mask|position_ids|inv_freq|cos_cached|sin_cached|embed_positions"
    r"|embed_positions\.weights|_float_tensor|version)$"
)
_WRAPPERS = {"module.": "DistributedDataParallel", "_orig_mod.": "torch.compile"}
"""How weights' names begin if what a training wrapped around the model was saved -> what it is."""
ParameterMap = dict[str, torch.Tensor]
"""Name of a tensor in the files -> the model's parameter or buffer that it fills."""


class ResidentModel:
    """One model in memory, into which the weights of one checkpoint after another are loaded.

    The weights are copied into the existing model only if config.json, names and shapes are those
    of the checkpoint from which it was built, if that checkpoint's tensors mapped one to one,
    unchanged, to the model's parameters, and if scoring that checkpoint has changed nothing in the
    model. Otherwise the model is built again.
    """

    def __init__(
        self,
        dtype: str,
        device: str,
        attention: str | None = None,
        compiled: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self._dtype, self._device = dtype, device
        self._attention, self._compiled = attention, compiled
        self._trust_remote_code = trust_remote_code
        self._model: PreTrainedModel | None = None
        self._config: dict[str, Any] | None = None
        self._parameters: ParameterMap = {}
        self._computed: set[str] = set()
        self._unused: str | None = None
        self.built = 0
        """How often a model was built."""

    def load(self, fetched: FetchedCheckpoint) -> PreTrainedModel:
        """The model with the checkpoint's weights. Empties `fetched.tensors` to free their file.

        Raises CheckpointError as load_model does.
        """
        refuse_ambiguous(fetched.checkpoint)
        config = _read_config(fetched.checkpoint.path)
        tensors = fetched.tensors or {}
        if self._model is not None and self._can_refill(config, tensors):
            _refill(self._parameters, tensors)
        else:
            self._build(fetched, config)
        assert self._model is not None
        tensors.clear()
        return self._model

    def distrust(self) -> None:
        """Call this after an exception in a forward, which may have left the model half changed:
        the next checkpoint is then built."""
        self._parameters = {}

    def _can_refill(self, config: dict[str, Any] | None, tensors: Tensors) -> bool:
        same = config is not None and config == self._config
        return (
            bool(tensors)
            and same
            and _matches(self._parameters, tensors, self._computed)
            and self._was_unchanged_by_use()
        )

    def _was_unchanged_by_use(self) -> bool:
        """Is all in the model as it was before its first forward? Checked once per built model.

        All checkpoints are scored on the same windows, so what the first leaves alone, the others
        do, too.
        """
        assert self._model is not None
        if self._unused is not None and self._unused != model_digest(self._model):
            return False
        self._unused = None
        return True

    def _build(self, fetched: FetchedCheckpoint, config: dict[str, Any] | None) -> None:
        model = load_model(
            fetched.checkpoint, self._dtype, "cpu", self._attention, self._trust_remote_code
        )
        _refuse_integers(fetched, config, model)
        self._model, self._parameters = None, {}  # never hold two models on the device
        self._model = _with_own_memory(model).to(self._device)
        self._config = config
        tensors = fetched.tensors or {}
        self._parameters = _parameter_map(self._model, tensors)
        self._computed = tensors.keys() - self._parameters.keys()
        self._unused = model_digest(self._model) if self._parameters else None
        self.built += 1
        if self._compiled:
            self._model.base_model.compile(dynamic=True)


def refuse_compile() -> None:
    """Raises IngestError if torch.compile does not work on this machine."""
    try:
        torch.compile(lambda x: torch.sin(x) + 1)(torch.ones(2))
    except Exception as error:  # any library error: no compiler, no headers
        raise IngestError(
            f"--compile cannot be used here ({first_line(error)}): omit it, or install a C++ "
            "compiler"
        ) from error


def load_model(
    checkpoint: Checkpoint,
    dtype: str,
    device: str,
    attention: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """The model of one checkpoint, in evaluation mode on `device`.

    Raises CheckpointError for unreadable files, and for missing, extra or misshapen weights.
    """
    files = weight_files(checkpoint.path)
    for path in files:
        if what := no_weights(path):
            raise CheckpointError(f"{checkpoint.revision}: {path.name} is {what}")
    if not files:
        names = [p.name for p in checkpoint.path.iterdir()] if checkpoint.path.is_dir() else []
        raise CheckpointError(without_weights(checkpoint.revision, names))
    if is_adapter(checkpoint.path):
        base = load_model(base_of(checkpoint), dtype, "cpu", attention, trust_remote_code)
        return merge(checkpoint, base).eval().to(device)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            checkpoint.path,
            dtype=DTYPES[dtype],
            attn_implementation=attention,
            local_files_only=True,
            trust_remote_code=trust_remote_code,  # False, not None, which would ask
            ignore_mismatched_sizes=True,  # refused below, with their names
            output_loading_info=True,
        )
    except Exception as error:  # any library error: the files are not a model
        if needs_remote_code(error):
            raise CheckpointError(remote_code_advice(checkpoint.revision)) from error
        raise CheckpointError(_unreadable(checkpoint, error)) from error
    _refuse_incomplete(checkpoint, model, info)
    return _with_fused_activation(model.eval()).to(device)


def _unreadable(checkpoint: Checkpoint, error: Exception) -> str:
    names = ", ".join(p.name for p in weight_files(checkpoint.path))
    quantised = (_read_config(checkpoint.path) or {}).get("quantization_config")
    if isinstance(quantised, dict):
        return (
            f"{checkpoint.revision} is quantised ({quantised.get('quant_method', 'unknown')}) and "
            f"cannot be loaded here ({first_line(error)}): install the package that this names, "
            "or give the checkpoint before quantisation"
        )
    if isinstance(error, ImportError):
        return (
            f"{checkpoint.revision} needs a package that is not installed ({first_line(error)}): "
            "install it and run again"
        )
    if advice := _other_pickle(checkpoint):
        return advice
    return (
        f"{checkpoint.revision} cannot be loaded ({type(error).__name__}: {first_line(error)}): "
        f"{names} or config.json is damaged or incomplete; copy the checkpoint again"
    )


def _other_pickle(checkpoint: Checkpoint) -> str | None:
    """What is wrong with a pickled file that is not a plain state dict; None for others."""
    found = next(filter(None, map(_other_entries, weight_files(checkpoint.path))), None)
    return found and (
        f"{checkpoint.revision} holds more than weights, or weights that are not dense tensors "
        f"({found}): save the model's own state dict, or the model with save_pretrained"
    )


def _other_entries(path: Path) -> str:
    """Up to three entries of a pickled file that are not dense tensors, each with its type."""
    if path.suffix == ".safetensors":
        return ""
    try:
        entries = torch.load(path, map_location="cpu", weights_only=True).items()
    except Exception:  # any library error: damaged, which the caller says
        return ""
    others = [(k, v) for k, v in entries if not is_dense(v)]
    return ", ".join(f"{k}: {_kind(v)}" for k, v in others[:3])


def _kind(value: object) -> str:
    return "sparse tensor" if torch.is_tensor(value) else type(value).__name__


def _refuse_incomplete(
    checkpoint: Checkpoint, model: PreTrainedModel, info: dict[str, Any]
) -> None:
    extra = [k for k in info["unexpected_keys"] if not _is_computed(k, model)]
    for prefix, origin in _WRAPPERS.items():
        if extra and all(key.startswith(prefix) for key in extra):
            raise CheckpointError(
                f"{checkpoint.revision} was saved from inside {origin}, so its weights are called "
                f"{extra[0]} and so on: remove {prefix} from their names, or save the model itself"
            )
    if info["missing_keys"] and (advice := _other_pickle(checkpoint)):
        raise CheckpointError(advice)
    faults = {"missing": info["missing_keys"], "misshapen": info["mismatched_keys"], "extra": extra}
    for kind, keys in faults.items():
        if keys:
            names = ", ".join(sorted(str(k) for k in keys)[:3])
            raise CheckpointError(
                f"{checkpoint.revision} has {len(keys)} {kind} weights ({names}): its files do not "
                "belong to its config.json; copy the checkpoint again"
            )


def _refuse_integers(
    fetched: FetchedCheckpoint, config: dict[str, Any] | None, model: PreTrainedModel
) -> None:
    """transformers would read one-byte weights without the scale that belongs to them."""
    if "quantization_config" in (config or {}):
        return
    tensors = fetched.tensors or {}
    integers = [k for k, t in tensors.items() if not t.is_floating_point() or t.itemsize == 1]
    if found := [k for k in integers if not _is_computed(k, model)]:
        raise CheckpointError(
            f"{fetched.checkpoint.revision} has {len(found)} weights of integers or "
            f"one-byte floats ({found[0]}), as quantised weights are, but its config.json has no "
            "quantization_config: give the checkpoint before quantisation"
        )


def _with_fused_activation(model: PreTrainedModel) -> PreTrainedModel:
    """GPT-2's activation as one operation. transformers computes the same formula in eight, which
    takes a tenth of the forward pass."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))
    return model


def _with_own_memory(model: PreTrainedModel) -> PreTrainedModel:
    """Copy the weights, which are a memory map of a file that will be freed."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model


def _read_config(folder: Path) -> dict[str, Any] | None:
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found = {k: v for k, v in values.items() if k not in IRRELEVANT_KEYS}
        code = sorted(folder.glob("*.py")) if "auto_map" in values else []
        return found | {f"code in {p.name}": p.read_text(encoding="utf-8") for p in code}
    except (OSError, ValueError, AttributeError):
        return None


def _parameter_map(model: PreTrainedModel, tensors: Tensors) -> ParameterMap:
    """The parameter that each tensor fills; empty unless the mapping is one to one and exact."""
    targets: ParameterMap = model.state_dict(keep_vars=True)
    found = _map_by_name(targets, tensors, f"{model.base_model_prefix}.")
    filled = {id(target) for target in found.values()}
    unfilled = {id(t): t for t in targets.values() if id(t) not in filled}
    unmapped = [k for k in tensors if k not in found and not _is_computed(k, model)]
    if len(unmapped) == len(unfilled) == 1:  # a renamed head, such as GPT-NeoX's embed_out
        found[unmapped.pop()] = unfilled.popitem()[1]
    exact = all(_holds(target, tensors[key]) for key, target in found.items())
    return found if exact and not unmapped and not unfilled else {}


def _is_computed(key: str, model: PreTrainedModel) -> bool:
    """Is this a tensor that the model computes for itself, or that transformers ignores in it?"""
    prefix = f"{model.base_model_prefix}."
    learned = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    names = (key, prefix + key, key.removeprefix(prefix))
    if any(name in learned for name in names):
        return False
    buffers = {name for name, _ in model.named_buffers()}
    ignored = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    return (
        any(name in buffers for name in names)
        or bool(_COMPUTED.search(key))
        or any(re.search(pattern, key) for pattern in ignored)
    )


def _map_by_name(targets: ParameterMap, tensors: Tensors, prefix: str) -> ParameterMap:
    """Files may contain only the base model, without its prefix in the names, or the reverse."""
    found: ParameterMap = {}
    for key in tensors:
        for name in (key, prefix + key, key.removeprefix(prefix)):
            if name in targets:
                found.setdefault(key, targets[name])
    return found


def _holds(target: torch.Tensor, tensor: torch.Tensor) -> bool:
    if target.shape != tensor.shape or not tensor.is_floating_point():
        return False
    return torch.equal(target.detach().cpu(), tensor.to(target.dtype))


def _matches(parameters: ParameterMap, tensors: Tensors, computed: set[str]) -> bool:
    """Do these tensors have the names, shapes and ties of those the model was built from?

    The `computed` ones among those may be missing.
    """
    return (
        bool(parameters)
        and parameters.keys() <= tensors.keys()
        and tensors.keys() - parameters.keys() <= computed
        and all(
            tensors[key].shape == target.shape and tensors[key].is_floating_point()
            for key, target in parameters.items()
        )
        and _tied_agree(parameters, tensors)
    )


def _tied_agree(parameters: ParameterMap, tensors: Tensors) -> bool:
    """If the files contain a tied weight under both of its names, are both copies equal?"""
    first: dict[int, str] = {}
    for key, target in parameters.items():
        other = first.setdefault(id(target), key)
        if other != key and not torch.equal(tensors[other], tensors[key]):
            return False
    return True


@torch.no_grad()
def _refill(parameters: ParameterMap, tensors: Tensors) -> None:
    """Copies from page-locked memory are only queued; the forward that follows waits for them."""
    for key, target in parameters.items():
        tensor = tensors[key]
        if tensor.is_pinned():
            tensor = tensor.to(target.device, non_blocking=True)  # in its own dtype
        target.copy_(tensor)
