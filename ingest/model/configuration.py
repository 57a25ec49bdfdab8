"""What a checkpoint's config.json says: the model's context length and its attention backend."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from ingest.errors import CheckpointError, IngestError, first_line
from ingest.sources.revisions import Checkpoint


def first_config(checkpoints: list[Checkpoint]) -> PretrainedConfig:
    """The configuration of the first checkpoint that has a readable one.

    Raises IngestError if none has.
    """
    problem: CheckpointError | None = None
    for checkpoint in checkpoints:
        try:
            return _read_config(checkpoint)
        except CheckpointError as error:
            problem = problem or error
    raise IngestError(f"no checkpoint can be read. The first error: {problem}")


def _read_config(checkpoint: Checkpoint) -> PretrainedConfig:
    if not (checkpoint.path / "config.json").exists():
        raise CheckpointError(f"{checkpoint.revision} has no config.json: copy it there")
    try:
        return AutoConfig.from_pretrained(checkpoint.path, local_files_only=True)
    except Exception as error:  # any library error: the file is not a configuration
        raise CheckpointError(
            f"{checkpoint.revision} has no readable config.json: {first_line(error)}"
        ) from error


def context_length(config: PretrainedConfig) -> int | None:
    """The longest sequence that the model was built for, or None if the config does not say."""
    return getattr(config, "max_position_embeddings", None)


def attention_backend(config: PretrainedConfig, wanted: str | None = None) -> str:
    """The attention implementation that is used: `wanted`, else transformers' own choice.

    Raises IngestError if it is not available, and for a model that does not predict the next token.
    """
    default = _attention_of(config, None)
    return default if wanted is None else _attention_of(config, wanted)


def _attention_of(config: PretrainedConfig, wanted: str | None) -> str:
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, attn_implementation=wanted)
    except Exception as error:  # any library error: no such language model
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
