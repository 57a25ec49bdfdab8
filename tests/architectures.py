"""A tiny model of every architecture that transformers can load as a causal language model."""

from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCABULARY, CONTEXT = 320, 32
ARCHITECTURES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)

# Values of config.json by the names that architectures give to the same few sizes.
_LAYERS = 2
_SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "model_dim", "embed_dim", "dim"), 32),
    **dict.fromkeys(("embedding_size", "d_embed", "emb_dim", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("attention_hidden_size", "lru_width", "encoder_hidden_size"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), _LAYERS),
    **dict.fromkeys(("decoder_layers", "encoder_layers", "num_decoder_layers"), _LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "n_kv_heads"), 2),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "d_inner"), 64),
    **dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim", "ffn_hidden_size", "dff"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "top_k"), 2),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "n_words"), VOCABULARY),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), CONTEXT),
    **dict.fromkeys(("context_length", "max_sequence_length", "seq_length"), CONTEXT),
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id"), 0),
    "head_dim": 8,
    "global_head_dim": 8,
    "initializer_range": 0.3,
    "init_std": 0.3,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "rotary_dim": 4,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "state_size": 8,
    "mamba_d_state": 8,
    "mamba_n_heads": 8,
    "mamba_num_heads": 8,
    "mamba_d_head": 8,
    "mamba_head_dim": 8,
    "mamba_n_groups": 1,
    "n_groups": 1,
    "chunk_size": 8,
    "mamba_chunk_size": 8,
    "time_step_rank": 4,
    "mamba_dt_rank": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "sliding_window": 8,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 0,
    "laurel_rank": 8,
    "pad_head_dim_to_multiple_of": None,
}
# Exceptions to these sizes.
_SPECIAL: dict[str, dict[str, Any]] = {
    "rwkv": {"num_hidden_layers": 8, "attention_hidden_size": 32, "context_length": CONTEXT},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "mamba2": {"num_heads": 8, "head_dim": 8, "expand": 2},
    "openai-gpt": {"n_head": 4},
    "dots3_note_text": {"num_key_value_heads": 4},
    "falcon_h1": {"mamba_d_ssm": 64},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "reformer": {"is_decoder": True, "axial_pos_embds": False},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "zamba": {
        "num_hidden_layers": 4,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
    },
    "zamba2": {
        "num_hidden_layers": 3,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "mamba_headdim": 8,
        "adapter_rank": 4,
        "kv_channels": 8,
        "num_query_groups": 4,
        "num_key_value_heads": 4,
        "hybrid_layer_ids": [2],
        "layers_block_type": ["linear_attention", "linear_attention", "hybrid"],
    },
    "zaya": {"num_experts_per_tok": 1},
}


def tiny_config(architecture: str, **changes: Any) -> PretrainedConfig:
    """A configuration of about 32 units and two layers; the sizes of a nested text model, too.

    Raises whatever the architecture raises for such sizes.
    """
    default = CONFIG_MAPPING[architecture]()
    values = _shrunk(default)
    values |= _SPECIAL.get(architecture, {}) | changes
    return CONFIG_MAPPING[architecture](**values)


def _shrunk(config: PretrainedConfig) -> dict[str, Any]:
    known = {**vars(config), **dict.fromkeys(config.attribute_map, 0)}
    values = {k: v for k, v in _SIZES.items() if k in known and _resembles(known[k], v)}
    if "kv_lora_rank" in known:  # latent attention has as many keys as queries
        values["num_key_value_heads"] = values["num_attention_heads"]
    if isinstance(known.get("layer_types"), list):
        kinds = list(dict.fromkeys(known["layer_types"]))
        values["layer_types"] = (kinds * _LAYERS)[: max(_LAYERS, len(kinds))]
        values["num_hidden_layers"] = len(values["layer_types"])
    for key, nested in vars(config).items():
        if isinstance(nested, PretrainedConfig):
            values[key] = _shrunk(nested)
    return values


def _resembles(default: object, value: object) -> bool:
    return default is None or isinstance(default, (int, float)) or value is None


def tiny_model(architecture: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """Random weights, large enough that losses differ by whole nats."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(tiny_config(architecture, **changes)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.is_floating_point() and weight.ndim > 1:
                weight.copy_(torch.randn_like(weight) * 0.3)
    return model
