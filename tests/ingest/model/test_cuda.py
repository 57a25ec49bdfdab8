"""On a CUDA device: losses equal the CPU's, and nothing waits for the device batch by batch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from ingest.model.batches import DeviceWindows
from ingest.model.kernel import score, token_losses, unscored
from ingest.model.memory import Budget
from ingest.model.precision import Precision
from ingest.options import RunOptions
from ingest.run import run
from store.layout import Layout
from tests.ingest.model.test_heads import gemma2
from tests.ingest.model.test_kernel import LENGTHS, VOCABULARY, some_windows
from tests.models import FAMILIES, save_run, tiny

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device, which torch does not find"
)
STEPS = (0, 10, 400)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("budget", [40, None])
def test_losses_equal_those_of_the_cpu(family: str, budget: int | None) -> None:
    windows, model = some_windows(LENGTHS), tiny(family, VOCABULARY)
    expected = token_losses(model, windows)
    found = token_losses(model.cuda(), windows, Budget(budget))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_capped_logits_equal_those_of_the_cpu() -> None:
    windows, model = some_windows(LENGTHS), gemma2()
    expected = token_losses(model, windows)
    found = token_losses(model.cuda(), windows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("precision", "most"), [("high", 0.02), ("medium", 0.1)])
def test_lower_precision_stays_near(precision: Precision, most: float) -> None:
    windows, model = some_windows(LENGTHS), tiny("gpt2", VOCABULARY).cuda()
    exact = token_losses(model, windows)
    found = token_losses(model, windows, precision=precision)
    assert 0 < abs(found - exact).max() < most


def test_no_batch_after_the_first_waits_for_the_device() -> None:
    model = tiny("gpt2", VOCABULARY).cuda()
    windows = DeviceWindows(some_windows([20] * 40), "cuda")
    losses = torch.empty(windows.n_rows, device="cuda")
    batches = score(model, windows, losses, Budget(100))
    next(batches)  # which tries the head
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert sum(batches) == windows.n_rows - 5 * 19
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(losses).all()


def test_what_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    model, windows = tiny("gpt2", 50_257).cuda(), some_windows([32] * 2_000)
    expected = token_losses(model, windows, Budget(2_048))
    told: list[str] = []
    budget = Budget(64_000, told.append)
    monkeypatch.setattr(budget, "room", lambda _: 2**60)  # an estimate that is far too high
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    hoard = torch.empty(1_100 * 2**20, dtype=torch.uint8, device="cuda")
    torch.cuda.set_per_process_memory_fraction(1_150 * 2**20 / total)
    try:
        found = token_losses(model, windows, budget)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        del hoard
    assert budget.tokens is not None
    assert budget.tokens < 64_000
    assert len(told) == 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_a_run_equals_one_on_the_cpu(
    bpe: PreTrainedTokenizerFast, text: Path, tmp_path: Path
) -> None:
    source = save_run(tmp_path / "run", bpe, STEPS)
    options = RunOptions(device="cpu", probes=True)
    on_cpu = run(source, text, tmp_path / "cpu", options)
    report = run(source, text, tmp_path / "gpu", replace(options, device="cuda"))
    assert not on_cpu.failed
    assert not report.failed
    for step in STEPS:
        one, two = (
            pq.read_table(Layout(tmp_path / name).loss_file(step))["loss"].to_numpy()
            for name in ("cpu", "gpu")
        )
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)
    probes = [pq.read_table(Layout(tmp_path / name).probes).to_pandas() for name in ("cpu", "gpu")]
    np.testing.assert_allclose(probes[0]["value"], probes[1]["value"], rtol=0, atol=1e-4)


def test_compiled_losses_equal_those_of_the_cpu() -> None:
    windows, model = some_windows(LENGTHS), tiny("gpt2", VOCABULARY)
    expected = token_losses(model, windows)
    model.cuda().base_model.compile(dynamic=True)
    placed = DeviceWindows(windows, "cuda")
    losses = unscored(placed, predictions=False)
    assert sum(score(model, placed, losses, Budget(), compiled=True)) == placed.n_rows
    np.testing.assert_allclose(placed.in_row_order(losses)[0], expected, rtol=0, atol=1e-4)


def test_a_checkpoint_that_lacks_a_token_does_not_spoil_the_device() -> None:
    windows = some_windows(LENGTHS)
    with pytest.raises(IndexError, match="is not among 100 types"):
        token_losses(tiny("gpt2", 100).cuda(), windows)
    with pytest.raises(IndexError, match="tokens exceed its 32 positions"):
        token_losses(tiny("gpt2", VOCABULARY).cuda(), some_windows([34]))
    assert np.isfinite(token_losses(tiny("gpt2", VOCABULARY).cuda(), windows)).all()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_devices_share_a_run_by_ray(
    bpe: PreTrainedTokenizerFast, text: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    source = save_run(tmp_path / "run", bpe, STEPS)
    report = run(source, text, tmp_path / "store", RunOptions(engine="ray"))
    assert len(report.tried) == len(STEPS)
    assert not report.failed
