"""Load tokenizers and models from checkpoint folders, strictly: nothing missing or invented."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.activations import NewGELUActivation

from ingest.errors import CheckpointError, IngestError, first_line
from ingest.sources.checkpoints import Checkpoint, weight_files

os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")


transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
)
# Buffers that old checkpoints saved and that are computed, not learned.
COMPUTED = (".attn.bias", ".attn.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")


def load_tokenizer(
    source: Path, checkpoints: list[Checkpoint], named: str | None
) -> PreTrainedTokenizerBase:
    """The tokenizer that was named, else the first one found in the folder or its checkpoints."""
    if named and not Path(named).is_dir():
        raise IngestError(
            f"--tokenizer {named} is no folder here: name one that holds tokenizer.json, or a "
            "repository on the Hub"
        )
    folders = [Path(named)] if named else [source, *(c.path for c in checkpoints)]
    for folder in folders:
        if any((folder / name).exists() for name in TOKENIZER_FILES):
            try:
                return AutoTokenizer.from_pretrained(folder, local_files_only=True)
            except Exception as error:  # any library error: the files are not a tokenizer
                raise IngestError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
    raise IngestError(
        f"no tokenizer in {named or source} nor in its checkpoints: expected tokenizer.json there; "
        "name a folder that holds one with --tokenizer"
    )


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of the whole tokenizer as JSON, or of a slow one's files: equal ids for equal text."""
    if tokenizer.is_fast:
        return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
    digest = hashlib.sha256(type(tokenizer).__name__.encode())
    digest.update(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode())
    with tempfile.TemporaryDirectory() as folder:
        for path in tokenizer.save_vocabulary(folder):
            digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def first_config(checkpoints: list[Checkpoint]) -> PretrainedConfig:
    """The configuration of the first checkpoint that has a readable one."""
    problem: CheckpointError | None = None
    for checkpoint in checkpoints:
        try:
            return _read_config(checkpoint)
        except CheckpointError as error:
            problem = problem or error
    raise IngestError(f"no checkpoint can be read; the first says: {problem}")


def context_length(config: PretrainedConfig) -> int | None:
    """The longest sequence the model was made for, or None where the configuration is silent."""
    return getattr(config, "max_position_embeddings", None)


def attention_backend(config: PretrainedConfig, wanted: str | None = None) -> str:
    """The attention implementation that was wanted, else the one that transformers will choose.

    Raises IngestError where it cannot be had, and for what is no such model.
    """
    chosen = _attention_of(config, None)
    return chosen if wanted is None else _attention_of(config, wanted)


def _attention_of(config: PretrainedConfig, wanted: str | None) -> str:
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, attn_implementation=wanted)
    except Exception as error:  # any library error: it knows no such language model
        if wanted:
            raise IngestError(
                f"--attention {wanted} cannot be used with this model here ({first_line(error)}): "
                "leave it out, or give sdpa or eager"
            ) from error
        raise IngestError(
            f"config.json describes a {config.model_type}, which transformers cannot load as a "
            f"model that predicts the next token: {first_line(error)}"
        ) from error
    return str(model.config._attn_implementation)


def load_model(
    checkpoint: Checkpoint, dtype: str, device: str, attention: str | None = None
) -> PreTrainedModel:
    """The model of one checkpoint, ready to score.

    Raises CheckpointError for unreadable files and for missing, extra or misshapen weights,
    which transformers would fill with random numbers.
    """
    if not weight_files(checkpoint.path):
        raise CheckpointError(
            f"{checkpoint.revision} has no weights: expected model.safetensors in it"
        )
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            checkpoint.path,
            dtype=DTYPES[dtype],
            attn_implementation=attention,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # refused below, with their names
            output_loading_info=True,
        )
    except Exception as error:  # any library error: the files are not a model
        raise CheckpointError(_unreadable(checkpoint, error)) from error
    _refuse_incomplete(checkpoint, info)
    return _fused(model.eval()).to(device)


def _fused(model: PreTrainedModel) -> PreTrainedModel:
    """GPT-2's activation as one operation; transformers writes the same formula in eight, which
    costs a tenth of the forward."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))
    return model


def _read_config(checkpoint: Checkpoint) -> PretrainedConfig:
    if not (checkpoint.path / "config.json").exists():
        raise CheckpointError(f"{checkpoint.revision} has no config.json: copy it there")
    try:
        return AutoConfig.from_pretrained(checkpoint.path, local_files_only=True)
    except Exception as error:  # any library error: the file is not a configuration
        raise CheckpointError(
            f"{checkpoint.revision} has no readable config.json: {first_line(error)}"
        ) from error


def _refuse_incomplete(checkpoint: Checkpoint, info: dict[str, Any]) -> None:
    extra = [k for k in info["unexpected_keys"] if not k.endswith(COMPUTED)]
    faults = {"missing": info["missing_keys"], "misshapen": info["mismatched_keys"], "extra": extra}
    for kind, keys in faults.items():
        if keys:
            names = ", ".join(sorted(str(k) for k in keys)[:3])
            raise CheckpointError(
                f"{checkpoint.revision} has {len(keys)} {kind} weights ({names}): its files do not "
                "belong to its config.json; copy the checkpoint again"
            )


def _unreadable(checkpoint: Checkpoint, error: Exception) -> str:
    names = ", ".join(p.name for p in weight_files(checkpoint.path))
    return (
        f"{checkpoint.revision} cannot be loaded ({type(error).__name__}: {first_line(error)}): "
        f"{names} or config.json is damaged or incomplete; copy the checkpoint again"
    )
