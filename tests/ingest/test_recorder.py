"""A recorder writes the store that a run over saved checkpoints gives, and disturbs no training."""

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import distributed, nn
from transformers import (
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

from ingest.errors import IngestError
from ingest.options import RunOptions
from ingest.output.locks import writer_lock
from ingest.recorder import Recorder, TokenLossCallback, log_spaced
from ingest.verify import verify
from store.files import leftovers
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import Ingest
from tests.ingest.support.processes import SETTINGS, pid_of
from tests.models import CONTEXT, PROSE, byte_level, tiny

MakeRecorder = Callable[..., Recorder]


@pytest.fixture
def make(text: Path, bpe: PreTrainedTokenizerFast, tmp_path: Path) -> MakeRecorder:
    """A recorder into tmp_path/s, whose notices are errors unless a test collects them."""

    def recorder(store: str = "s", **more: Any) -> Recorder:
        given = {"text": text, "tokenizer": bpe, "context_length": CONTEXT, "notice": _unexpected}
        return Recorder(tmp_path / store, **(given | more))

    return recorder


def _unexpected(sentence: str) -> None:
    raise AssertionError(sentence)


def losses(store: Path) -> dict[int, np.ndarray]:
    """Losses float32 (tokens,) by checkpoint."""
    scored = Layout(store).scored()
    return {n: pq.read_table(path)["loss"].to_numpy() for n, path in scored.items()}


def rows(store: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(Layout(store).checkpoints).to_pylist()
    return found


class Batches(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Random windows, the same ones every time."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = torch.randint(320, (16,), generator=torch.Generator().manual_seed(index))
        return {"input_ids": ids, "labels": ids}


def with_dropout() -> PreTrainedModel:
    """So that training depends on the random state and on the modes of modules."""
    model = tiny("llama")
    model.config.attention_dropout = 0.1
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.1
    model.gradient_checkpointing_enable()
    return model


def trained(
    folder: Path, bpe: PreTrainedTokenizerFast, *callbacks: TokenLossCallback, **more: Any
) -> Trainer:
    """A Trainer after 40 steps, with a checkpoint every 10."""
    arguments = TrainingArguments(
        str(folder),
        max_steps=40,
        save_steps=10,
        per_device_train_batch_size=4,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        include_num_input_tokens_seen="all",
        **more,
    )
    trainer = Trainer(
        with_dropout(),
        arguments,
        train_dataset=Batches(),
        processing_class=bpe,
        data_collator=default_data_collator,
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer


def test_recorded_losses_equal_those_of_saved_checkpoints(
    make: MakeRecorder,
    bpe: PreTrainedTokenizerFast,
    text: Path,
    tmp_path: Path,
    ingest: Ingest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorder = make()
    trained(tmp_path / "run", bpe, TokenLossCallback(recorder, at_saves=True))
    assert str(recorder.overhead.n_recorded) in capsys.readouterr().out
    assert 0 < recorder.overhead.share < 1
    arguments = ("--text", text, "--store", tmp_path / "scored", "--context-length", CONTEXT)
    assert ingest("run", tmp_path / "run", *arguments).status == 0
    recorded, scored = losses(tmp_path / "s"), losses(tmp_path / "scored")
    assert list(recorded) == list(scored) == [10, 20, 30, 40]
    for step, expected in scored.items():
        assert np.abs(recorded[step] - expected).max() <= 1e-6, step
    for name in ("tokens.parquet", "docs.parquet"):
        assert (tmp_path / "s" / name).read_bytes() == (tmp_path / "scored" / name).read_bytes()
    manifests = [read_manifest(tmp_path / s / "manifest.json") for s in ("s", "scored")]
    assert [m.recorded for m in manifests] == [True, False]
    assert manifests[0].tokenizer_sha256 == manifests[1].tokenizer_sha256
    assert verify(tmp_path / "s") == []
    assert [r["revision"] for r in rows(tmp_path / "s")] == [f"step-{n}" for n in recorded]
    assert [r["tokens_seen"] for r in rows(tmp_path / "s")] == [n * 4 * 16 for n in recorded]


def test_the_weights_are_those_of_training_without(
    make: MakeRecorder, bpe: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    alone = trained(tmp_path / "alone", bpe)
    callback = TokenLossCallback(make(), every=3, steps="log")
    recorded = trained(tmp_path / "recorded", bpe, callback)
    assert set(losses(tmp_path / "s")) == log_spaced(40) | set(range(3, 41, 3))
    expected = alone.model.state_dict()
    for name, weight in recorded.model.state_dict().items():
        assert torch.equal(weight, expected[name]), name
    other = trained(tmp_path / "other", bpe, seed=1)
    assert not torch.equal(other.model.lm_head.weight, alone.model.lm_head.weight)


def test_resumed_at_a_save_it_records_what_is_missing(
    make: MakeRecorder, bpe: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    first = trained(tmp_path / "run", bpe, TokenLossCallback(make(), at_saves=True))
    before = {p: p.stat().st_mtime_ns for p in Layout(tmp_path / "s").scored().values()}
    missing = Layout(tmp_path / "s").loss_file(20)
    expected = missing.read_bytes()
    missing.unlink()
    recorder = make()
    first.remove_callback(TokenLossCallback)
    first.add_callback(TokenLossCallback(recorder, at_saves=True))
    first.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-20"))
    assert recorder.overhead.n_recorded == 3
    assert missing.read_bytes() == expected
    before.pop(missing)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_all_is_as_before(make: MakeRecorder, tmp_path: Path) -> None:
    model = with_dropout()
    model.train()
    model.model.layers[0].eval()
    model.gradient_checkpointing_enable()
    seen: list[bool] = []

    def draws(module: nn.Module, *_: object) -> None:
        seen.append(module.training)
        torch.rand(1), random.random(), np.random.rand()

    model.lm_head.register_forward_hook(draws)

    def state() -> list[object]:
        modules = [(n, m.training, dict(m._forward_hooks)) for n, m in model.named_modules()]
        flags = [torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), model.config.use_cache]
        numbers = [
            torch.get_rng_state().tolist(),
            random.getstate(),
            repr(np.random.get_state()),
        ]
        return [modules, flags, numbers, set(vars(model))]

    with torch.autocast("cpu", torch.bfloat16):
        before = state()
        make().record(model, 1)
        assert state() == before
    assert seen and not any(seen)
    make("plain").record(tiny("llama"), 1)
    assert np.array_equal(losses(tmp_path / "s")[1], losses(tmp_path / "plain")[1])


def refuses_to_compile(*_: object) -> Any:
    raise AssertionError("compiled")


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend=refuses_to_compile)


def compiled_inside(model: PreTrainedModel) -> PreTrainedModel:
    model.base_model.compile(backend=refuses_to_compile)
    return model


@pytest.mark.parametrize("wrap", [compiled, compiled_inside, nn.DataParallel, lambda model: model])
def test_wrapped_models_and_mixed_precision_give_the_same_losses(
    make: MakeRecorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrap: Callable[[PreTrainedModel], nn.Module],
) -> None:
    monkeypatch.setattr(AcceleratorState, "_shared_state", {})  # which an earlier Trainer has set
    make("plain").record(tiny("llama"), 1)
    mixed = Accelerator(cpu=True, mixed_precision="bf16").prepare_model(tiny("llama"))
    forward = mixed.forward
    make().record(wrap(mixed), 1)
    assert mixed.forward is forward
    assert np.array_equal(losses(tmp_path / "s")[1], losses(tmp_path / "plain")[1])


def test_a_repeated_step_replaces_nothing_unless_losses_differ(
    make: MakeRecorder, tmp_path: Path
) -> None:
    make().record(tiny("llama"), 5)
    path = Layout(tmp_path / "s").loss_file(5)
    before, row = path.stat().st_mtime_ns, rows(tmp_path / "s")
    make().record(tiny("llama"), 5, tokens_seen=100)
    assert path.stat().st_mtime_ns == before
    assert rows(tmp_path / "s") == [{**row[0], "tokens_seen": 100}]
    said: list[str] = []
    make(notice=said.append).record(tiny("llama", seed=1), 5, tokens_seen=100)
    assert len(said) == 1 and "step 5 was recorded before with other losses" in said[0]
    make("fresh").record(tiny("llama", seed=1), 5)
    assert np.array_equal(losses(tmp_path / "s")[5], losses(tmp_path / "fresh")[5])
    assert verify(tmp_path / "s") == []


def test_a_diverged_model_is_listed_and_training_goes_on(
    make: MakeRecorder, tmp_path: Path
) -> None:
    said: list[str] = []
    recorder, model = make(notice=said.append), tiny("llama")
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    recorder.record(model, 1)
    recorder.record(tiny("llama"), 2)
    assert [bool(r["error"]) for r in rows(tmp_path / "s")] == [True, False]
    assert list(losses(tmp_path / "s")) == [2] and "no finite loss" in said[0]
    assert "are kept" not in said[0]
    before = rows(tmp_path / "s")
    recorder.record(model, 2)  # repeated after a restart, and diverged this time
    assert list(losses(tmp_path / "s")) == [2] and rows(tmp_path / "s") == before
    assert "step 2 gives no finite loss" in said[1] and said[1].endswith("before are kept")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"context_length": 16}, "another context length"),
        ({"tokenizer": byte_level(300)}, "another tokenizer"),
        ({"options": RunOptions(stride=4)}, "another --stride"),
        ({"text": "other.txt"}, "another text"),
        ({"context_length": 1}, "at least 2 tokens"),
        ({"context_length": 33}, "at most 32 tokens"),
        ({"text": "absent.txt"}, "absent.txt"),
        ({"store": "other.txt"}, "is not a folder"),
        ({"store": "text/s"}, "is inside the folder of the text"),
    ],
)
def test_other_stores_and_bad_input_are_refused(
    make: MakeRecorder, tmp_path: Path, change: dict[str, Any], found: str
) -> None:
    make().record(tiny("llama"), 1)
    (tmp_path / "other.txt").write_text(PROSE)
    if change.get("store") == "text/s":
        change = change | {"text": "text"}
        (tmp_path / "text").mkdir()
    change = {k: tmp_path / v if k == "text" else v for k, v in change.items()}
    with pytest.raises(IngestError, match=found):
        make(**change).open(tiny("llama"))
    assert list(losses(tmp_path / "s")) == [1]


def test_bad_models_and_steps_are_refused(make: MakeRecorder) -> None:
    for step in (1.5, -1, True, 2**63):
        with pytest.raises(IngestError, match="expected an integer from 0"):
            make().record(tiny("llama"), step)  # type: ignore[arg-type]
    with pytest.raises(IngestError, match="tokens_seen is -3: expected"):
        make().record(tiny("llama"), 1, tokens_seen=-3)
    with pytest.raises(IngestError, match="the model is a NoneType: expected"):
        make().record(None, 1)  # type: ignore[arg-type]
    with pytest.raises(IngestError, match="the tokenizer is a str: expected"):
        make(tokenizer="gpt2")
    with pytest.raises(IngestError, match="is a Linear: expected a causal language model"):
        make().record(nn.Linear(2, 2), 1)
    with pytest.raises(IngestError, match="nothing says when"):
        TokenLossCallback(make())
    with pytest.raises(IngestError, match='or "log"'):
        TokenLossCallback(make(), steps="linear")  # type: ignore[arg-type]


def test_a_model_of_another_shape_is_refused(make: MakeRecorder, tmp_path: Path) -> None:
    make().record(tiny("llama"), 1)
    with pytest.raises(IngestError, match="made with a model of other shapes"):
        make().record(tiny("llama", 400), 2)
    assert list(losses(tmp_path / "s")) == [1]


class Drifting(LlamaForCausalLM):  # type: ignore[misc]
    """Changes a weight in each forward."""

    def forward(self, *given: Any, **named: Any) -> Any:
        with torch.no_grad():
            self.model.norm.weight.data.add_(0.01)
        return super().forward(*given, **named)


def test_a_model_that_changes_itself_is_refused(make: MakeRecorder, tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="Drifting changes its own weights"):
        make().record(Drifting(tiny("llama").config), 1)
    assert losses(tmp_path / "s") == {}


def test_log_spaced_steps() -> None:
    assert sorted(log_spaced(20)) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 16, 19, 20]
    assert log_spaced(0) == {0} and log_spaced(1) == {0, 1}


def in_processes(target: Callable[..., None], *arguments: object, n: int = 1) -> list[Any]:
    """Processes that run `target(rank, *arguments)`, forked from a server that has loaded all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ingest.run", "tests.ingest.support.hub"])
    processes = [context.Process(target=target, args=(rank, *arguments)) for rank in range(n)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        for process in processes:
            process.start()
    return processes


def _record_in_ddp(rank: int, folder: Path, text: Path, sharded: bool) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    model: nn.Module = tiny("llama")
    wrapped = nn.parallel.DistributedDataParallel(model)
    recorder = Recorder(folder / "s", text, byte_level(), CONTEXT)
    try:
        if sharded:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            wrapped = fully_shard(tiny("llama"), mesh=init_device_mesh("cpu", (2,)))
        for step in (1, 2):
            recorder.record(wrapped, step)
        assert recorder.has(2)
        with writer_lock(Layout(folder / "s")) if rank == 0 else nullcontext():
            recorder.record(wrapped, 3)  # which only the first process finds out to be impossible
    except IngestError as error:
        (folder / f"said-{rank}").write_text(str(error))
    del recorder, wrapped  # a DDP model that outlives its process group may hang
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_share_the_text(
    make: MakeRecorder, text: Path, tmp_path: Path, sharded: bool
) -> None:
    processes = in_processes(_record_in_ddp, tmp_path, text, sharded, n=2)
    for process in processes:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    said = [(tmp_path / f"said-{rank}").read_text() for rank in range(2)]
    if sharded:
        assert all("FSDP" in sentence for sentence in said)
        return
    assert all("another ingest is writing" in sentence for sentence in said)
    make("alone").record(tiny("llama"), 1)
    recorded = losses(tmp_path / "s")
    assert list(recorded) == [1, 2] and verify(tmp_path / "s") == []
    for found in recorded.values():
        assert np.abs(found - losses(tmp_path / "alone")[1]).max() < 1e-5


KILLED_STEPS = range(12)


def _record_many(rank: int, store: Path, text: Path) -> None:
    recorder = Recorder(store, text, byte_level(), CONTEXT)
    for step in KILLED_STEPS:
        recorder.record(tiny("llama", seed=step), step)


def test_killed_while_a_file_is_half_written(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(PROSE * 8)
    for store in ("whole", "killed"):
        (process,) = in_processes(_record_many, tmp_path / store, text)
        while store == "killed" and process.is_alive():
            if leftovers(tmp_path / store / "losses"):
                os.kill(pid_of(process), signal.SIGSTOP)
                if leftovers(tmp_path / store / "losses"):
                    break
                os.kill(pid_of(process), signal.SIGCONT)
        if store == "killed":
            process.kill()
        process.join()
    assert leftovers(tmp_path / "killed" / "losses"), "no moment was caught"
    (process,) = in_processes(_record_many, tmp_path / "killed", text)
    process.join()
    assert process.exitcode == 0
    whole, killed = losses(tmp_path / "whole"), losses(tmp_path / "killed")
    assert list(whole) == list(killed) == list(KILLED_STEPS)
    for step, expected in whole.items():
        assert np.array_equal(killed[step], expected)
    assert verify(tmp_path / "killed") == [] and not leftovers(tmp_path / "killed" / "losses")
