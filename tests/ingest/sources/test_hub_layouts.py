"""Repositories of every make: formats, files, names and tags, as they are found on the Hub."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM

from ingest.sources.checkpoint_files import weights_sha256
from store.layout import Layout
from tests.ingest.conftest import STEPS, Score
from tests.ingest.sources.test_hub import losses, rows
from tests.ingest.support.hub import Hub


def test_one_format_is_fetched_and_pickles_where_there_is_no_other(
    published: Hub, score: Score, tmp_path: Path, whole_store: Path
) -> None:
    """step 0 has both formats, step 10 only a pickle, step 400 only safetensors."""
    both = shutil.copytree(published.refs["checkpoint-0"], tmp_path / "both")
    (both / "pytorch_model.bin").write_bytes(b"never read")
    pickled = shutil.copytree(published.refs["checkpoint-10"], tmp_path / "pickled")
    model = AutoModelForCausalLM.from_pretrained(pickled)
    (pickled / "model.safetensors").unlink()
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    published.refs |= {"checkpoint-0": both, "checkpoint-10": pickled}
    assert score().status == 0
    got = [r.rpartition("/")[2] for r in published.requests if r.startswith("GET")]
    assert got.count("pytorch_model.bin") == 1
    assert got.count("model.safetensors") == 2
    stores = (tmp_path / "s", whole_store)
    tables = [pq.read_table(Layout(s).loss_file(10))["loss"] for s in stores]
    assert tables[0].equals(tables[1])


def test_weights_in_several_files_are_fetched_with_their_index(
    published: Hub, score: Score, tmp_path: Path, whole_store: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(published.refs["checkpoint-10"])
    split = shutil.copytree(published.refs["checkpoint-10"], tmp_path / "split")
    (split / "model.safetensors").unlink()
    model.save_pretrained(split, max_shard_size="10kB")
    assert len(list(split.glob("model-*.safetensors"))) > 1
    published.refs["checkpoint-10"] = split
    assert score().status == 0
    stores = (tmp_path / "s", whole_store)
    tables = [pq.read_table(Layout(s).loss_file(10))["loss"] for s in stores]
    assert tables[0].equals(tables[1])
    assert rows(tmp_path / "s")[10]["weights_sha256"] == weights_sha256(split)


def test_the_tokenizer_comes_from_main_where_the_steps_have_none(
    published: Hub, score: Score, tmp_path: Path, whole_store: Path
) -> None:
    for step in STEPS:
        bare = shutil.copytree(published.refs[f"checkpoint-{step}"], tmp_path / f"bare{step}")
        for path in bare.glob("*token*"):
            path.unlink()
        published.refs[f"checkpoint-{step}"] = bare
    assert score().status == 0
    assert losses(tmp_path / "s") == losses(whole_store)


def test_tags_count_like_branches_and_stages_go_on(
    published: Hub, score: Score, tmp_path: Path
) -> None:
    old = published.refs
    published.refs = {"main": old["main"], "stage1-step10": old["checkpoint-0"]}
    published.tags = {"stage2-step10": old["checkpoint-10"], "stage2-step20": old["checkpoint-0"]}
    ended = score("--tokens-per-step", 5)
    assert (ended.status, ended.error) == (0, "warning: checkpoint 30 has the same weights as 10")
    found = rows(tmp_path / "s")
    keys = ("revision", "stage", "step", "tokens_seen", "duplicate_of")
    assert {n: tuple(r[k] for k in keys) for n, r in found.items()} == {
        10: ("stage1-step10", 1, 10, 50, None),
        20: ("stage2-step10", 2, 10, 100, None),
        30: ("stage2-step20", 2, 20, 150, 10),
    }
