"""Our losses are those of lm-evaluation-harness and of minicons, on the same models and texts.

`make test-peers` installs both; without them these tests skip.
"""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from ingest.__main__ import main
from store.layout import Layout
from tests.ingest.model.test_heads import gemma2
from tests.models import PROSE, byte_level, tiny

# Of one context length, so that texts are cut at the same places.
MAKERS = {
    "gpt2": lambda: tiny("gpt2"),
    "neox": lambda: tiny("neox"),
    "llama": lambda: tiny("llama"),
    "gemma2": gemma2,
}
CONTEXT = 32
ONE_WINDOW = ["The Congress met.", " he said", "Naïve — café", "war's end\n\n\tSecond"]


@pytest.fixture(scope="module", params=MAKERS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one checkpoint."""
    root = tmp_path_factory.mktemp(family)
    model: PreTrainedModel = MAKERS[family]()
    model.save_pretrained(root / "run" / "step1")
    byte_level().save_pretrained(root / "run" / "step1")
    return root


def ours(folder: Path, texts: list[str], *more: str) -> list[np.ndarray]:
    """Losses of each document, by our command line."""
    shutil.rmtree(folder / "texts", ignore_errors=True)
    (folder / "texts").mkdir()
    for number, text in enumerate(texts):
        (folder / "texts" / f"{number}.txt").write_text(text, encoding="utf-8", newline="")
    store = folder / f"store{len(more)}"
    shutil.rmtree(store, ignore_errors=True)
    given = ["run", str(folder / "run"), "--text", str(folder / "texts"), "--store", str(store)]
    assert main([*given, *more]) == 0
    layout = Layout(store)
    table = pq.read_table(layout.loss_file(1)).to_pandas()
    docs = pq.read_table(layout.docs).to_pandas()
    source = table.doc.map(docs.set_index("doc").source)
    return [table.loss[source == str(number)].to_numpy() for number in range(len(texts))]


def loaded(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    return AutoModelForCausalLM.from_pretrained(folder / "run" / "step1").eval(), byte_level()


def test_each_documents_sum_is_that_of_lm_evaluation_harness(folder: Path) -> None:
    """It takes disjoint windows, the first after the BOS, the others after the token before."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval is missing")
    from lm_eval.api.instance import Instance

    model, tokenizer = loaded(folder)
    peer = huggingface.HFLM(
        model, tokenizer=tokenizer, batch_size=1, max_length=CONTEXT - 1, device="cpu"
    )
    asked = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in ONE_WINDOW]
    sums = [-value for value in peer.loglikelihood_rolling(asked, disable_tqdm=True)]
    for losses, expected in zip(ours(folder, ONE_WINDOW), sums, strict=True):
        assert losses.sum(dtype=np.float64) == pytest.approx(expected, abs=1e-4 * len(losses))


def test_each_token_is_that_of_minicons(folder: Path) -> None:
    """It gives no loss to the first token unless a BOS is prepended."""
    scorer = pytest.importorskip("minicons.scorer", reason="minicons is missing")
    model, tokenizer = loaded(folder)
    peer = scorer.IncrementalLMScorer(model, tokenizer=tokenizer, device="cpu")
    for with_bos in (True, False):
        found = peer.token_score(ONE_WINDOW, surprisal=True, bos_token=with_bos)
        expected = [[value for _, value in tokens] for tokens in found]
        mine = ours(folder, ONE_WINDOW, *([] if with_bos else ["--no-bos"]))
        for losses, theirs in zip(mine, expected, strict=True):
            np.testing.assert_allclose(losses, theirs[1:], rtol=0, atol=1e-4)


def test_windows_that_carry_one_token_over_are_those_of_lm_evaluation_harness(folder: Path) -> None:
    """Its way with long texts is `--no-bos --stride 1`, if the first token is its prefix."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval is missing")
    from lm_eval.api.instance import Instance

    model, tokenizer = loaded(folder)
    ids = tokenizer.encode(PROSE)[: 1 + 3 * (CONTEXT - 1)]  # its last window would reach back
    text, rest = tokenizer.decode(ids), tokenizer.decode(ids[1:])
    assert (tokenizer.encode(text), tokenizer.encode(rest)) == (ids, ids[1:])
    peer = huggingface.HFLM(
        model,
        tokenizer=tokenizer,
        batch_size=1,
        max_length=CONTEXT - 1,
        device="cpu",
        prefix_token_id=ids[0],
    )
    asked = [Instance("loglikelihood_rolling", {}, (rest,), 0)]
    (expected,) = peer.loglikelihood_rolling(asked, disable_tqdm=True)
    (losses,) = ours(folder, [text], "--no-bos", "--stride", "1")
    assert len(losses) == 3 * (CONTEXT - 1)
    assert losses.sum(dtype=np.float64) == pytest.approx(-expected, abs=1e-4 * len(losses))
