"""Every token is predicted once, from as much context as a window gives, overlapping or not."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from ingest.errors import IngestError
from ingest.text.corpus import Convention, windows
from ingest.verify import verify
from queries import Store
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import Ingest
from tests.ingest.text.test_features import seen_by_hand
from tests.models import CONTEXT, PROSE, save_run

LENGTHS = st.integers(2, 12)


@given(n=st.integers(0, 40), length=LENGTHS, bos=st.sampled_from([0, None]), data=st.data())
def test_each_token_is_predicted_once_from_the_most_context_there_is(
    n: int, length: int, bos: int | None, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, length - 1))
    found = list(windows(n, Convention(length, bos, stride=stride)))
    predicted = [i for w in found for i in range(w.first, w.end)]
    assert predicted == list(range(0 if bos == 0 else 1, n))
    for w in found:
        assert w.end - w.start + (bos == 0) <= length
        for i in range(w.first, w.end):
            assert w.start == min(v.start for v in found if v.start <= i < v.end)
            context = i - w.start + (bos == 0)
            assert w.part == 0 or context >= stride
    assert [w.part for w in found] == list(range(len(found)))


@given(n=st.integers(0, 40), length=LENGTHS, bos=st.sampled_from([0, None]))
def test_without_a_stride_windows_do_not_overlap(n: int, length: int, bos: int | None) -> None:
    found = list(windows(n, Convention(length, bos)))
    assert all(a.end == b.start for a, b in pairwise(found))
    assert all(w.first == w.start + (bos is None) for w in found)


@given(n=st.integers(0, 40), length=LENGTHS, left=st.integers(1, 50), data=st.data())
def test_a_limit_leaves_the_first_tokens(
    n: int, length: int, left: int, data: st.DataObject
) -> None:
    stride = data.draw(st.none() | st.integers(1, length - 1))
    rule = Convention(length, 0, stride=stride)
    every = [i for w in windows(n, rule) for i in range(w.first, w.end)]
    some = [i for w in windows(n, rule, left) for i in range(w.first, w.end)]
    assert some == every[:left]


@pytest.mark.parametrize("stride", [0, 16, 99])
def test_a_stride_of_a_whole_window_is_refused(stride: int) -> None:
    with pytest.raises(IngestError, match=r"--stride is .* expected 1 to 15, less than"):
        Convention(16, 0, stride=stride)


def test_parts_count_as_before_where_they_overlap() -> None:
    assert [w.part for w in windows(40, Convention(16, 0, max_parts=2, stride=8))] == [0, 1]


@torch.no_grad()
def one_at_a_time(
    model: PreTrainedModel, ids: list[int], stride: int, bos: int | None
) -> list[dict[str, Any]]:
    """Each token from its own context only, in float64, without any code of ingest."""
    prefix = [] if bos is None else [bos]
    found = []
    for at, token in enumerate(ids):
        # The first of the windows, each CONTEXT - stride later than the last, that still holds it.
        late = at + 1 + len(prefix) - CONTEXT
        start = max(math.ceil(late / (CONTEXT - stride)), 0) * (CONTEXT - stride)
        context = prefix + ids[start:at]
        if context:
            logits = model(torch.tensor([context])).logits[0, -1].double()
            loss = -torch.log_softmax(logits, dim=-1)[token].item()
            seen = [seen_by_hand([*context, token], n)[-1] for n in (1, 2, 3)]
            found.append({"position": len(context), "loss": loss, "seen": seen, "id": token})
    return found


@pytest.mark.parametrize(
    ("family", "stride", "bos"), [("gpt2", 16, 0), ("llama", 25, None), ("gpt2", 7, None)]
)
def test_losses_and_features_are_those_of_each_tokens_own_context(
    tmp_path: Path,
    ingest: Ingest,
    bpe: PreTrainedTokenizerFast,
    family: str,
    stride: int,
    bos: int | None,
) -> None:
    source = save_run(tmp_path / "run", bpe, [1], family)
    texts = [PROSE, "The Congress met.", "x"]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    store = tmp_path / "s"
    line = ["run", source, "--text", tmp_path / "t.jsonl", "--store", store, "--stride", stride]
    assert ingest(*line, *([] if bos == 0 else ["--no-bos"])).status == 0
    folder = source / "checkpoint-1"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = [tokenizer.encode(t, add_special_tokens=False) for t in texts]
    expected = [row for ids in encoded for row in one_at_a_time(model, ids, stride, bos)]
    rows = pq.read_table(Layout(store).loss_file(1)).to_pylist()
    assert [r["token_id"] for r in rows] == [e["id"] for e in expected]
    assert [r["position"] for r in rows] == [e["position"] for e in expected]
    losses = [r["loss"] for r in rows], [e["loss"] for e in expected]
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-4)
    tokens = pq.read_table(Layout(store).tokens)
    names = ("seen_before", "bigram_seen_before", "trigram_seen_before")
    counted = zip(*(tokens[n].to_pylist() for n in names), strict=True)
    assert [list(c) for c in counted] == [e["seen"] for e in expected]
    assert verify(store) == []
    assert read_manifest(Layout(store).manifest).options["stride"] == stride


def test_a_store_of_overlapping_windows_is_asked_like_any_other(
    tmp_path: Path, ingest: Ingest, run_folder: Path
) -> None:
    (tmp_path / "t.txt").write_text(PROSE)
    store = tmp_path / "s"
    line = ("run", run_folder, "--text", tmp_path / "t.txt", "--store", store, "--stride", 20)
    assert ingest(*line).status == 0
    asked = Store(store)
    tokens = asked.sql("select * from tokens order by row")
    later = tokens[tokens["part"] > 0]
    assert later["position"].min() == 20
    assert (later.groupby("doc")["position"].min() == 20).all()
    counts = tokens.groupby("doc").size()
    assert (tokens["doc_tokens"] == tokens["doc"].map(counts)).all()
    # The text of a doc is all that the model saw, so that what stands before a token can be shown.
    first = later[later["word"] == "Congress"].iloc[0]
    shown = asked.context(np.array([first["row"]])).iloc[0]
    assert (shown["before"] + shown["token"]).rstrip() in PROSE
    assert len(shown["before"]) == min(first["char_start"], len(shown["before"]))
    assert first["char_start"] >= 20
    means = asked.trajectories({"late": "position >= 20", "early": "position < 20"})
    for step, frame in means.groupby("checkpoint"):
        losses = pq.read_table(Layout(store).loss_file(cast(int, step))).to_pandas()
        late = losses[losses["position"] >= 20]["loss"].mean()
        assert frame.set_index("token_group")["mean_loss"]["late"] == pytest.approx(late, abs=1e-6)
        assert frame["n_tokens"].sum() == len(losses)
