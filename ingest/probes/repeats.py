"""Random sequences with one repeated segment: the input of probes, the same in every run."""

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from ingest.errors import IngestError
from ingest.text.corpus import Convention

SEQUENCES = 16
LONGEST = 50  # tokens per segment: attention weights of a whole context would fill the memory
SEED = 0


@dataclass(frozen=True)
class Repeats:
    """Windows of token ids, int64 (n_bos + 2 * length,) each: the BOS and a segment twice.

    `n_bos` is 1, or 0 if the store has no BOS. The tokens of a segment are all different, so that
    each token of the second copy has exactly one earlier occurrence.
    """

    windows: list[np.ndarray]
    length: int
    n_bos: int

    @property
    def facts(self) -> dict[str, str]:
        """Metadata of probes.parquet: what decides the probes, in addition to the manifest."""
        return {"sequences": str(len(self.windows)), "length": str(self.length), "seed": str(SEED)}


def random_repeats(
    tokenizer: PreTrainedTokenizerBase, n_types: int, convention: Convention
) -> Repeats:
    """`SEQUENCES` windows of random token types that the tokenizer and the model know.

    Special tokens are left out; `n_types` is the size of the model's vocabulary. Raises IngestError
    if the context or the vocabulary is too small for a segment of two tokens.
    """
    ordinary = _ordinary_types(tokenizer, n_types)
    n_bos = int(convention.bos_id is not None)
    length = min(LONGEST, (convention.context_length - n_bos) // 2, len(ordinary))
    if length < 2:
        raise IngestError(
            f"--probes needs a segment of two tokens, twice: a context of "
            f"{convention.context_length} tokens, or {len(ordinary)} token types that are not "
            "special, is too small; run without --probes"
        )
    rng = np.random.default_rng(SEED)
    bos = np.full(n_bos, convention.bos_id or 0, dtype=np.int64)
    segments = [rng.choice(ordinary, length, replace=False) for _ in range(SEQUENCES)]
    return Repeats([np.concatenate([bos, s, s]) for s in segments], length, n_bos)


def _ordinary_types(tokenizer: PreTrainedTokenizerBase, n_types: int) -> np.ndarray:
    """Ids of the token types that are not special, int64, increasing."""
    added = tokenizer.added_tokens_decoder.items()
    special = {*tokenizer.all_special_ids, *(i for i, token in added if token.special)}
    known = sorted(set(tokenizer.get_vocab().values()) - special)
    return np.array([i for i in known if i < n_types], dtype=np.int64)
