"""Unusable results: a sentence that names the first offending row, and nothing is left behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

import numpy as np
import pandas as pd
import pytest

from ingest.imports import build
from tests.ingest.conftest import Ingest
from tests.ingest.imports.published import imported_losses

Change = Callable[[pd.DataFrame], pd.DataFrame | None]


def rows() -> pd.DataFrame:
    """2 docs of 4 tokens at 3 checkpoints; row 14 is checkpoint 10, doc 1, position 2."""
    index = pd.MultiIndex.from_product([[0, 10, 20], [0, 1], [1, 2, 3, 4]])
    frame = pd.DataFrame(index.to_list(), columns=["checkpoint", "doc", "position"])
    frame["token_id"] = 10 * frame["doc"] + frame["position"]
    frame["loss"] = np.linspace(0.5, 3, len(frame))
    return frame


def put(column: str, value: float | None, row: int = 14) -> Change:
    def change(frame: pd.DataFrame) -> None:
        frame[column] = frame[column].astype(object)
        frame.loc[row - 1, column] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put("loss", float("nan")), "row 14 (doc 1, position 2): no loss (NaN or null)"),
        (put("loss", None, 2), "row 2: no loss (NaN or null) for doc 0, position 2"),
        (put("loss", float("inf")), "row 14 (doc 1, position 2): an infinite value (inf)"),
        (put("loss", -1.0), "row 14 (doc 1, position 2): a negative loss (is it a log-"),
        (put("token_id", 99), "row 14: another token at doc 1, position 2 than at checkpoint 0"),
        (put("token_id", None), "token_id of value 14 of a block is null"),
        (put("doc", 7), "row 14: doc 7, position 2 at checkpoint 10 is not among the tokens of"),
        (put("position", 9), "row 14: doc 1, position 9 at checkpoint 10 is not among the tokens"),
        (put("position", 1), "row 14: another token at doc 1, position 1 than at checkpoint 0"),
        (put("position", 7, 3), "row 4: doc 0 goes from position 2 to 4 at checkpoint 0"),
        (put("checkpoint", -1), "row 14: checkpoint -1 is negative"),
        (put("checkpoint", 20), "row 22: doc 1, position 2 is there twice at checkpoint 20"),
        (lambda f: f.drop(13), "checkpoint 10 has no loss for doc 1, position 2, which checkpoint"),
        (lambda f: pd.concat([f, f[13:14]]), "row 25: doc 1, position 2 is there twice at"),
        (lambda f: pd.concat([f[1:2], f]), "row 3: doc 0, position 2 is there twice at checkpoint"),
        (lambda f: f[:0], "losses.csv has no rows: there are no losses in it"),
        (lambda f: f.drop(columns="token_id"), "has neither token ids nor texts"),
        (lambda f: f.rename(columns={"loss": "x"}), "is in no format that is recognised; its"),
        (lambda f: f.rename(columns={"loss": "surprisal"}), "does not say its unit: give --unit"),
    ],
)
def test_the_first_offending_row_is_named(
    change: Change, sentence: str, tmp_path: Path, ingest: Ingest
) -> None:
    frame = rows()
    changed = change(frame)
    path = tmp_path / "losses.csv"
    (frame if changed is None else changed).to_csv(path, index=False)
    ended = ingest("import", path, "--store", tmp_path / "store")
    assert (ended.status, ended.error.count("error:")) == (2, 1)
    assert sentence in ended.error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["losses.csv"]


@pytest.mark.parametrize(
    ("unit", "value", "sentence"),
    [
        ("logprob", 0.5, "a positive log-probability (is it a loss? Give --unit nats): 0.5"),
        ("probability", 1.5, "a probability of 1.5: expected a number from 0 to 1"),
        ("probability", 0.0, "a probability of 0, whose loss is infinite"),
        ("bits", -2.0, "a negative surprisal"),
    ],
)
def test_values_that_a_unit_cannot_have_are_refused(
    unit: str, value: float, sentence: str, tmp_path: Path, ingest: Ingest
) -> None:
    frame = rows()
    frame["loss"] = -frame["loss"] if unit == "logprob" else frame["loss"] / 4
    frame.loc[13, "loss"] = value
    frame.to_csv(tmp_path / "losses.csv", index=False)
    ended = ingest("import", tmp_path / "losses.csv", "--store", tmp_path / "store", "--unit", unit)
    assert f"row 14 (doc 1, position 2): {sentence}" in ended.error


@pytest.mark.parametrize(
    ("unit", "convert"),
    [
        ("nats", lambda x: x),
        ("bits", lambda x: x / np.log(2)),
        ("log10", lambda x: x / np.log(10)),
        ("logprob", lambda x: -x),
        ("probability", lambda x: np.exp(-x)),
    ],
)
def test_every_unit_gives_nats(
    unit: str, convert: Callable[[pd.Series], pd.Series], tmp_path: Path, ingest: Ingest
) -> None:
    frame = rows()
    frame.assign(loss=convert(frame["loss"])).to_csv(tmp_path / "x.csv", index=False)
    assert (
        ingest("import", tmp_path / "x.csv", "--store", tmp_path / "s", "--unit", unit).status == 0
    )
    expected = frame["loss"].to_numpy().reshape(3, 8).T
    assert imported_losses(tmp_path / "s") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone"], "gone does not exist"),
        (["empty"], "empty has no .parquet, .csv"),
        (["x.csv", "--map", "loss"], "--map loss: expected OURS=THEIRS"),
        (["x.csv", "--map", "lost=loss"], "--map lost=… is no column of a store"),
        (["x.csv", "--map", "loss=gone"], "x.csv has no column 'gone'; its columns are"),
        (["x.csv", "--map", "loss=words", "--unit", "bits"], "loss holds text instead of numbers"),
        (["x.csv", "--unit", "ln"], "--unit is 'ln': expected nats, bits"),
        (["x.csv", "--format", "wide"], "there is no format 'wide': expected memorisation"),
        (["text.csv"], "text.csv: the column 'loss' holds text ('0,5'), expected numbers"),
        (["step.csv"], "checkpoint: expected integers (Failed to parse string: 'step1'"),
        (["back.csv"], "back.csv, row 1: position -2 is negative: positions count from"),
        (["a.npy", "--tokens", "u.npy", "--checkpoints", "bin.parquet"], "expected a column"),
        (["x.csv", "--format", "matrix"], "x.csv is not an array: expected a file in .npy"),
        (["empty.npy"], "empty.npy cannot be read (No data left in file)"),
        (["bad.npz"], "bad.npz cannot be read (File is not a zip file)"),
        (["bad.pt"], "bad.pt cannot be read (Weights only load failed"),
        (["t.npy", "--tokens", "t.npy"], "t.npy holds int64: expected an array of floating"),
        (["a.npy", "--tokens", "u.npy", "--checkpoints", "1,1,2"], "--checkpoints names 1 twice"),
        (["a.npy"], "a.npy has no tokens: name a table of them"),
        (["a.npy", "--tokens", "t.npy"], "t.npy has 5 tokens in 1 docs, but there are 24 x 8 x"),
        (["a.npy", "--tokens", "u.npy"], "a.npy has 3 columns, but 0 checkpoints are known"),
        (["bad.jsonl", "--checkpoints", "1"], "bad.jsonl, row 2: no JSON"),
        (["uneven.jsonl", "--checkpoints", "1"], "row 2: 4 values of loss for 2 tokens"),
        (["mute.jsonl", "--checkpoints", "1"], "row 1: losses without tokens"),
        (["a.npy", "--checkpoints", "0,x"], "--checkpoints 0,x: expected integers (0,100,…), or"),
        (["a.npy", "--checkpoints", "bin"], "--checkpoints bin: expected integers, such as 0,100"),
        (["mute.jsonl"], "does not say which checkpoint it is of"),
        (["v.json", "--checkpoints", "1"], "row 2, entry 2: 2 tokens, and no prompt_token_ids"),
    ],
)
def test_unusable_arguments_and_files(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    ingest: Ingest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    rows().assign(words="x").to_csv("x.csv", index=False)
    rows().assign(loss="0,5").to_csv("text.csv", index=False)
    rows().assign(checkpoint="step1").to_csv("step.csv", index=False)
    frame = rows()
    frame.assign(position=-1 - frame["position"]).to_csv("back.csv", index=False)
    Path("empty.npy").touch()
    for name in ("bin", "bin.parquet"):
        Path(name).write_bytes(b"PAR1\x80")
    Path("bad.npz").write_bytes(b"PK\x03\x04")
    Path("bad.pt").write_text("no pickle")
    np.save("a.npy", np.ones((8, 3)))
    np.save("t.npy", np.arange(5))
    np.save("u.npy", np.arange(8))
    Path("bad.jsonl").write_text('{"token": "a", "loss": 1}\n{"token"')
    good = {"token_ids": [1, 2], "losses": [1.0, 2.0]}
    uneven = {"token_ids": [1, 2], "losses": [1.0, 2.0, 3.0, 4.0]}
    Path("uneven.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(uneven)}\n")
    Path("mute.jsonl").write_text('{"losses": [1.0, 2.0]}\n')
    one, two = {"5": {"logprob": -1.0}}, {"5": {"logprob": -1.0}, "6": {"logprob": -2.0}}
    prompts = [{"prompt_logprobs": [None, one]}, {"prompt_logprobs": [None, two]}]
    Path("v.json").write_text(json.dumps(prompts))
    before = sorted(tmp_path.iterdir())
    ended = ingest("import", *arguments, "--store", "store")
    assert ended.status == 2 and ended.error.count("error:") == 1
    assert sentence in ended.error
    assert sorted(tmp_path.iterdir()) == before


def test_an_existing_store_is_left_alone(tmp_path: Path, ingest: Ingest) -> None:
    rows().to_csv(tmp_path / "x.csv", index=False)
    store = tmp_path / "store"
    assert ingest("import", tmp_path / "x.csv", "--store", store).status == 0
    assert "exists already" in ingest("import", tmp_path / "x.csv", "--store", store).error
    assert "is a URL" in ingest("import", tmp_path / "x.csv", "--store", "s3://a/b").error


def test_what_a_killed_import_left_is_removed_by_the_next(
    tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed runs no `finally`: here, one that ends while it writes."""
    rows().to_csv(tmp_path / "x.csv", index=False)
    arguments = ["import", str(tmp_path / "x.csv"), "--store", str(tmp_path / "store")]
    if (child := os.fork()) == 0:
        monkeypatch.setattr(build, "write_outcomes", lambda *_: os.kill(os.getpid(), SIGKILL))
        ingest(*arguments)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -SIGKILL
    staged = tmp_path / ".store.importing"
    assert list(staged.glob("losses/*.parquet")) and not (tmp_path / "store").exists()
    assert ingest(*arguments).status == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store", "x.csv"]
