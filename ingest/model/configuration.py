"""What a checkpoint's config.json says: the model's context length and its attention backend."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from ingest.errors import (
    CheckpointError,
    IngestError,
    first_line,
    needs_remote_code,
    remote_code_advice,
)
from ingest.model.adapters import base_of
from ingest.sources.checkpoint_files import is_adapter
from ingest.sources.other_layouts import describe_other_layout, without_weights
from ingest.sources.revisions import Checkpoint


def first_config(
    checkpoints: list[Checkpoint], trust_remote_code: bool = False
) -> PretrainedConfig:
    """The configuration of the first checkpoint that has a readable one.

    Raises IngestError if none has.
    """
    problem: CheckpointError | None = None
    for checkpoint in checkpoints:
        try:
            return _read_config(checkpoint, trust_remote_code)
        except CheckpointError as error:
            problem = problem or error
    raise IngestError(f"no checkpoint can be read. The first error: {problem}")


def _read_config(checkpoint: Checkpoint, trust_remote_code: bool) -> PretrainedConfig:
    if not (checkpoint.path / "config.json").exists():
        if is_adapter(checkpoint.path):
            return _read_config(base_of(checkpoint), trust_remote_code)
        names = [p.name for p in checkpoint.path.iterdir()] if checkpoint.path.is_dir() else []
        if describe_other_layout(names):
            raise CheckpointError(without_weights(checkpoint.revision, names))
        raise CheckpointError(f"{checkpoint.revision} has no config.json: copy it there")
    try:
        # False, not None, which would ask at the terminal.
        return AutoConfig.from_pretrained(
            checkpoint.path, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # any library error: the file is not a configuration
        if needs_remote_code(error):
            raise CheckpointError(remote_code_advice(checkpoint.revision)) from error
        raise CheckpointError(
            f"{checkpoint.revision} has no readable config.json: {first_line(error)}"
        ) from error


def context_length(config: PretrainedConfig) -> int | None:
    """The longest sequence that the model was built for, or None if the config does not say."""
    return getattr(config, "max_position_embeddings", None)


def attention_backend(
    config: PretrainedConfig, wanted: str | None = None, trust_remote_code: bool = False
) -> str:
    """The attention implementation that is used: `wanted`, else transformers' own choice.

    Raises IngestError if it is not available, and for a model that does not predict the next token.
    """
    default = _attention_of(config, None, trust_remote_code)
    return default if wanted is None else _attention_of(config, wanted, trust_remote_code)


def _attention_of(config: PretrainedConfig, wanted: str | None, trust_remote_code: bool) -> str:
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                config, attn_implementation=wanted, trust_remote_code=trust_remote_code
            )
    except Exception as error:  # any library error: no such language model
        if needs_remote_code(error):
            raise IngestError(remote_code_advice("the model")) from error
        if wanted:
            raise IngestError(
                f"--attention {wanted} cannot be used with this model here ({first_line(error)}): "
                "omit it, or give sdpa or eager"
            ) from error
        raise IngestError(
            f"config.json describes a {config.model_type}, which transformers cannot load as a "
            f"model that predicts the next token: {first_line(error)}"
        ) from error
    return str(model.config._attn_implementation)
