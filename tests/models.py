"""Tiny real models and tokenizers, made from scratch in a second: what ingest is tested with."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

# Waiting for other threads costs more than such small products; eighty times more under load.
torch.set_num_threads(1)

CONTEXT = 32
END = "<|endoftext|>"
FAMILIES = ("gpt2", "neox", "llama")
PROSE = (
    "The President said that the Congress, which had met in Washington, would not be moved. "
    "Naïve readers — and there were 1,234 of them — asked: \"Why not?\" It's the war's end, "
    "he said, and the war's end is the President's to declare.\n\n\tSecond paragraph: the "
    "Congress met again; the President said that the Congress would be moved after all.\n"
)


def byte_level(size: int = 320) -> PreTrainedTokenizerFast:
    """As GPT-2's: byte-level BPE, a space belongs to the next word, END is token 0."""
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([PROSE], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)


def metaspace() -> PreTrainedTokenizerFast:
    """As Llama's: a Unigram model, spaces are `▁`. It has an EOS, `</s>`, and no BOS."""
    tokenizer = Tokenizer(tokenizer_models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([PROSE], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")


def byte_fallback(pieces: Iterable[str]) -> PreTrainedTokenizerFast:
    """As Llama 2's: `pieces`, and a piece `<0x…>` per byte for all other text."""
    scores = [("<unk>", 0.0), *((f"<0x{byte:02X}>", -9.0) for byte in range(256))]
    scores += [(piece, -1.0) for piece in pieces]
    tokenizer = Tokenizer(tokenizer_models.Unigram(scores, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def word_piece() -> PreTrainedTokenizerFast:
    """As BERT's: lower case, `##` continues a word, no spaces in tokens, no BOS and no EOS."""
    tokenizer = Tokenizer(tokenizer_models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=120, special_tokens=["[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator([PROSE], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def tiny(family: str, vocabulary: int = 320, seed: int = 0) -> PreTrainedModel:
    """Two layers of width 16; weights large enough that losses differ by whole nats."""
    torch.manual_seed(seed)
    common = {
        "vocab_size": vocabulary,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    wide = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": CONTEXT,
    }
    if family == "gpt2":
        config = GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=CONTEXT, **common)
        return GPT2LMHeadModel(config).eval()
    if family == "neox":
        return GPTNeoXForCausalLM(GPTNeoXConfig(**common, **wide)).eval()
    return LlamaForCausalLM(LlamaConfig(**common, **wide)).eval()


def planted(vocabulary: int, before: int, after: int) -> PreTrainedModel:
    """Certain that `after` follows `before`; elsewhere, types except `after` are equally likely.

    The layer adds nothing, so the last norm sees only the token: +v for `before`, -v for others.
    The only non-zero row of the head, that of `after`, is a multiple of v.
    """
    config = GPT2Config(
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=CONTEXT,
        vocab_size=vocabulary,
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    model = GPT2LMHeadModel(config).eval()
    v = torch.tensor([1.0, -1.0] * 8)
    with torch.no_grad():
        for part in (model.transformer.h[0].attn, model.transformer.h[0].mlp):
            part.c_proj.weight.zero_()
        model.transformer.wpe.weight.zero_()
        model.transformer.wte.weight.copy_(-v.expand(vocabulary, -1))
        model.transformer.wte.weight[before] = v
        model.lm_head.weight.zero_()
        model.lm_head.weight[after] = 100 * v
    return model


def save_second_run(folder: Path, mixed: Path) -> Path:
    """A run whose first step is that of `mixed`."""
    shutil.copytree(mixed / "checkpoint-10", folder / "checkpoint-10")
    shutil.copytree(mixed / "checkpoint-20", folder / "checkpoint-20")
    model = tiny("gpt2", GPT2Config.from_pretrained(mixed / "checkpoint-20").vocab_size, seed=7)
    model.save_pretrained(folder / "checkpoint-20", max_shard_size="20KB")
    return folder


def save_mixed_run(folder: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """Four steps in shards; steps 20 and 30 hold the last shard of step 40."""
    for step in (10, 20, 30, 40):
        model = tiny("gpt2", len(tokenizer), seed=step)
        model.save_pretrained(folder / f"checkpoint-{step}", max_shard_size="20KB")
        tokenizer.save_pretrained(folder / f"checkpoint-{step}")
    shard = max((folder / "checkpoint-40").glob("*.safetensors")).name
    for step in (20, 30):
        shutil.copy(folder / "checkpoint-40" / shard, folder / f"checkpoint-{step}")
    return folder


def save_run(
    folder: Path, tokenizer: PreTrainedTokenizerFast, steps: Iterable[int], family: str = "gpt2"
) -> Path:
    """A training run as Hugging Face's Trainer saves it: checkpoint-N/ folders with a tokenizer."""
    for step in steps:
        model = tiny(family, len(tokenizer), seed=step)
        model.save_pretrained(folder / f"checkpoint-{step}")
        tokenizer.save_pretrained(folder / f"checkpoint-{step}")
    return folder
