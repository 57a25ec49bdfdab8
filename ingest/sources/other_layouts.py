"""Folders that hold weights in a layout that transformers does not load, and what to do with each.

Each row: a regular expression for a file or folder in it, what that is, how to convert it.
"""

import re
from collections.abc import Iterable
from pathlib import Path

_SAVE = "load it with the code that wrote it, and save it with `model.save_pretrained`"
_LAYOUTS = (
    (
        r".*\.distcp|\.metadata|pytorch_model_fsdp_\d+|model_and_optim",
        "a sharded checkpoint of torch.distributed (FSDP or DCP)",
        "merge the shards with `accelerate merge-weights FOLDER OUT`, and put config.json and "
        "model.safetensors into one folder",
    ),
    (r"pytorch_model_fsdp\.bin", "a whole state dict of FSDP", _SAVE),
    (
        r"(bf16_)?zero_pp_rank_.*|mp_rank_\d+_model_states\.pt|zero_to_fp32\.py|global_step\d+",
        "a checkpoint of DeepSpeed",
        "convert it with its own zero_to_fp32.py, and put config.json and the weights into one "
        "folder",
    ),
    (r"model_optim_rng\.pt|mp_rank_\d+.*", "a checkpoint of Megatron-LM", _SAVE),
    (r".*\.gguf", "a GGUF file for llama.cpp", "give the checkpoint it was converted from"),
    (r"consolidated\.\d+\.pth", "a checkpoint in Meta's own layout", _SAVE),
    (r"tf_model\.h5|.*\.ckpt\.index", "a checkpoint of TensorFlow", _SAVE),
    (r"flax_model\.msgpack", "a checkpoint of Flax", _SAVE),
    (r".*\.nemo", "a checkpoint of NeMo", _SAVE),
    (r".*\.ckpt", "a checkpoint of Lightning", _SAVE),
    (r"model\.pt|rank\d+\.pt", "a plain PyTorch checkpoint, as OLMo's own trainer writes", _SAVE),
    (
        r"adapter_model\..*",
        "an adapter without its adapter_config.json",
        "copy that file there",
    ),
)

_BEGINNINGS = (
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not weights: run `git lfs pull` in its clone, and run again",
    ),
    (b"<!doctype", "a web page, not weights: download it again"),
    (b"<html", "a web page, not weights: download it again"),
    (b"<?xml", "an XML document, such as a server's error, not weights: download it again"),
)


def no_weights(path: Path) -> str | None:
    """What a file is that only has the name of a weight file, and what to do; None for others."""
    try:
        with path.open("rb") as file:
            beginning = file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    except OSError:  # reading the weights reports it
        return None
    return next((what for start, what in _BEGINNINGS if beginning.startswith(start)), None)


def describe_other_layout(names: Iterable[str]) -> str | None:
    """What a folder with these files and folders is, and what to do; None if that is unknown."""
    found = list(names)
    for pattern, what, advice in _LAYOUTS:
        if any(re.fullmatch(pattern, name) for name in found):
            return f"it is {what}: {advice}"
    return None


def without_weights(
    revision: str, names: Iterable[str], expected: str = "model.safetensors"
) -> str:
    """The sentence for a checkpoint that has no weights in a layout that transformers loads."""
    if layout := describe_other_layout(names):
        return f"{revision} has no weights that transformers loads, {layout}"
    return f"{revision} has no weights: expected {expected} in it"
