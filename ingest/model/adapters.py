"""Adapters, such as LoRA's: weights that are added to those of a base model, by the library peft.

An adapter is merged into its base, so that it is scored like any other checkpoint.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ingest.errors import CheckpointError, first_line
from ingest.sources.checkpoint_files import ADAPTER_CONFIG, is_adapter, weight_files
from ingest.sources.open import is_repository
from ingest.sources.prefetch import read_tensors
from ingest.sources.revisions import Checkpoint

_BASE_FILES = ["*.json", "*.py", "model*.safetensors", "pytorch_model*.bin"]


def refuse_ambiguous(checkpoint: Checkpoint) -> None:
    """Raises CheckpointError for a folder with whole weights and an adapter's configuration.

    transformers would score one or the other, depending on whether peft is installed.
    """
    whole = weight_files(checkpoint.path) and not is_adapter(checkpoint.path)
    if whole and (checkpoint.path / ADAPTER_CONFIG).exists():
        raise CheckpointError(
            f"{checkpoint.revision} holds whole weights and an adapter ({ADAPTER_CONFIG}): move "
            "one of them to another folder"
        )


def base_of(checkpoint: Checkpoint) -> Checkpoint:
    """The base model of an adapter, which may be downloaded into the Hub's cache.

    Raises CheckpointError if peft is not installed, and if there is no such model.
    """
    config = _adapter_config(checkpoint)
    base = str(config.get("base_model_name_or_path") or "an unnamed model")
    kind = config.get("peft_type", "unknown kind")
    if find_spec("peft") is None:
        raise CheckpointError(
            f"{checkpoint.revision} is an adapter ({kind}) of {base}: merge it into that model "
            "(`merge_and_unload` in peft) and give the merged checkpoint, or install peft"
        )
    for folder in (Path(base), checkpoint.path / base, checkpoint.path.parent / base):
        if (folder / "config.json").exists():
            return Checkpoint(0, base, folder, 0)
    if not is_repository(base):
        raise CheckpointError(
            f"{checkpoint.revision} is an adapter ({kind}) of {base}, which is not a folder here: "
            f"correct base_model_name_or_path in its {ADAPTER_CONFIG}"
        )
    return Checkpoint(0, base, _downloaded(checkpoint, base, config.get("revision")), 0)


def merge(checkpoint: Checkpoint, base: PreTrainedModel) -> PreTrainedModel:
    """The base model with the adapter's weights added to its own.

    Raises CheckpointError if they do not fit, and for adapters that cannot be merged.
    """
    from peft import PeftModel, get_peft_model_state_dict

    try:
        adapted = PeftModel.from_pretrained(base, checkpoint.path)
        expected = get_peft_model_state_dict(adapted).keys()
        merged: PreTrainedModel = adapted.merge_and_unload()
    except Exception as error:  # any library error
        raise CheckpointError(
            f"{checkpoint.revision} is an adapter that cannot be merged into its base model "
            f"({type(error).__name__}: {first_line(error)}): merge it yourself, and give the "
            "merged checkpoint"
        ) from error
    found = (read_tensors(checkpoint.path) or {}).keys()
    if found != expected:
        names = ", ".join(sorted(found ^ expected)[:3])
        raise CheckpointError(
            f"{checkpoint.revision} is an adapter whose weights do not fit its base model "
            f"({names}): its files do not belong together; copy the checkpoint again"
        )
    return merged


def _adapter_config(checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        values = json.loads((checkpoint.path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{checkpoint.revision} has no readable {ADAPTER_CONFIG}: copy it again"
        ) from error
    return dict(values)


def _downloaded(checkpoint: Checkpoint, base: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(base, revision=revision, allow_patterns=_BASE_FILES))
    except Exception as error:  # any library error
        raise CheckpointError(
            f"{checkpoint.revision} is an adapter of {base}, which cannot be downloaded "
            f"({first_line(error)}): correct base_model_name_or_path in its {ADAPTER_CONFIG}, or "
            "log in with `hf auth login`"
        ) from error
