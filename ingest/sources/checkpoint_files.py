"""Which files of a checkpoint hold weights, configuration and tokenizer; digests of weights.

Folders and repositories on the Hub share these definitions, so that a checkpoint has the same
files and the same digest wherever it is.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

# The order in which transformers looks for weights. Only the first format found is used. Shards
# are usually named `model-00001-of-00002`; BLOOM has underscores instead.
_WEIGHT_FORMATS = (
    r"model\.safetensors",
    r"model[-_]\d+-of-\d+\.safetensors",
    r"pytorch_model\.bin",
    r"pytorch_model[-_]\d+-of-\d+\.bin",
)
# Weights that are added to those of a base model; used if there are no whole ones.
_ADAPTER_FORMATS = (r"adapter_model\.safetensors", r"adapter_model\.bin")
ADAPTER_CONFIG = "adapter_config.json"
WEIGHT_INDEXES = {"model.safetensors.index.json", "pytorch_model.bin.index.json"}
CONFIG_FILES = {"config.json", "generation_config.json", ADAPTER_CONFIG}
# Any one of these makes a folder a tokenizer; the others complete it.
TOKENIZER_FILES = {
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
}
# What decides the architecture and the tokens, and so should not differ between checkpoints.
AUDITED_FILES = {"config.json", "tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model"}
# Keys of config.json that do not affect the model.
IRRELEVANT_KEYS = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
MORE_TOKENIZER_FILES = {
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
}


def weight_names(names: Iterable[str]) -> list[str]:
    """The names of the weight files among `names`, sorted: one format, safetensors if possible.

    An adapter's weights count only if there are no whole ones. Other files, such as
    `training_args.bin`, are not weights.
    """
    ordered = sorted(names)
    adapter = _ADAPTER_FORMATS if ADAPTER_CONFIG in ordered else ()
    for pattern in (*_WEIGHT_FORMATS, *adapter):
        if found := [name for name in ordered if re.fullmatch(pattern, name)]:
            return found
    return []


def weight_files(folder: Path) -> list[Path]:
    """The weight files in a checkpoint's folder; an empty list if there is no such folder."""
    if not folder.is_dir():
        return []
    return [folder / name for name in weight_names(path.name for path in folder.iterdir())]


def is_adapter(folder: Path) -> bool:
    """Does a checkpoint's folder hold an adapter, such as LoRA's, and no whole weights?"""
    files = weight_files(folder)
    return bool(files) and any(re.fullmatch(p, files[0].name) for p in _ADAPTER_FORMATS)


def weights_sha256(folder: Path) -> str:
    """sha256 of the weight file; for several files, the sha256 of their sha256s in name order."""
    return joint_sha256([digest for _, digest in weight_digests(folder)])


def weight_digests(folder: Path) -> tuple[tuple[str, str], ...]:
    """Name and sha256 of each weight file, in name order."""
    return tuple((path.name, file_sha256(path)) for path in weight_files(folder))


def joint_sha256(digests: list[str]) -> str:
    """One digest for weights whose files have these digests."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def tensor_digests(folder: Path) -> dict[str, str]:
    """Name and sha256 of each tensor in the safetensors files of a folder; empty if there are none.

    Tensors of one repeated byte pattern of 4 bytes, such as norms and biases before training, are
    left out: they are equal in unrelated models.
    """
    digests: dict[str, str] = {}
    for path in weight_files(folder):
        if path.suffix != ".safetensors":
            continue
        with path.open("rb") as handle:
            try:
                length = int.from_bytes(handle.read(8), "little")
                header = json.loads(handle.read(length))
            except ValueError:
                return {}  # a damaged file, which loading reports
            for name, entry in header.items():
                if name != "__metadata__":
                    begin, end = entry["data_offsets"]
                    handle.seek(8 + length + begin)
                    content = handle.read(end - begin)
                    if content[:4] * (len(content) // 4) != content:
                        digests[name] = hashlib.sha256(content).hexdigest()
    return digests
