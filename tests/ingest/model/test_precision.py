"""Lower precision is asked for by the run, reaches the products, and leaves torch as it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from ingest.errors import IngestError
from ingest.model.kernel import token_losses
from ingest.model.precision import Precision, float32_products, trunk_products
from ingest.options import RunOptions
from ingest.run import run
from tests.ingest.model.test_heads import gemma2
from tests.ingest.model.test_kernel import LENGTHS, VOCABULARY, some_windows
from tests.models import tiny


def settings() -> tuple[str, bool, bool]:
    return (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.is_autocast_enabled("cpu"),
    )


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("highest", ("highest", False)), ("high", ("high", True)), ("medium", ("high", True))],
)
def test_torch_is_told_and_then_left_as_it_was(
    precision: Precision, expected: tuple[str, bool]
) -> None:
    before = settings()
    with float32_products(precision):
        assert settings()[:2] == expected
    with pytest.raises(ZeroDivisionError), trunk_products(precision, gemma2()):
        assert torch.is_autocast_enabled("cpu") == (precision == "medium")
        raise ZeroDivisionError
    assert settings() == before


@pytest.mark.parametrize("model", [tiny("gpt2", VOCABULARY), gemma2()], ids=["plain", "capped"])
def test_medium_rounds_the_trunk_and_not_the_head(model: PreTrainedModel) -> None:
    windows = some_windows(LENGTHS)
    exact = token_losses(model, windows)
    found = token_losses(model, windows, precision="medium")
    assert 0 < abs(found - exact).max() < 0.05
    seen: list[torch.dtype] = []
    head = model.get_output_embeddings()
    hook = head.register_forward_hook(lambda *given: seen.append(given[-1].dtype))
    with torch.inference_mode(), trunk_products("medium", model):
        logits = model(input_ids=torch.from_numpy(windows[0])[None]).logits
    hook.remove()
    assert seen == [torch.float32]
    assert logits.dtype == torch.float32
    np.testing.assert_array_equal(token_losses(model, windows), exact)


def test_one_store_holds_one_precision(run_folder: Path, text: Path, tmp_path: Path) -> None:
    options = RunOptions(max_checkpoints=1, precision="medium")
    assert not run(run_folder, text, tmp_path / "store", options).failed
    assert '"precision": "medium"' in (tmp_path / "store" / "manifest.json").read_text()
    with pytest.raises(IngestError, match="another --precision"):
        run(run_folder, text, tmp_path / "store", RunOptions())
