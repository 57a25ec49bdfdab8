"""A part of the demo store, written as other tools publish such results."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from store.layout import Layout

DEMO = Layout(Path(__file__).parents[3] / "data" / "demo")
STEPS = (0, 400, 3000)
N_DOCS = 5


@dataclass(frozen=True)
class Part:
    """The first docs of the demo at a few checkpoints. Bytes that are no text are left out."""

    tokens: pd.DataFrame
    losses: np.ndarray
    """float32 (tokens, checkpoints)"""

    @property
    def long(self) -> pd.DataFrame:
        """checkpoint, doc, position, token_id, token_str, loss."""
        columns = ["doc", "position", "token_id", "token_str"]
        frames = [
            self.tokens[columns].assign(checkpoint=step, loss=self.losses[:, at])
            for at, step in enumerate(STEPS)
        ]
        return pd.concat(frames, ignore_index=True)

    def docs(self) -> list[tuple[pd.DataFrame, np.ndarray]]:
        """Tokens and losses of each doc."""
        return [(f, self.losses[f.index]) for _, f in self.tokens.groupby("doc")]


def read_part() -> Part:
    tokens = pq.read_table(DEMO.tokens).to_pandas()
    tokens = tokens[(tokens["doc"] < N_DOCS) & (tokens["position"] <= 120)]
    losses = [pq.read_table(DEMO.loss_file(s))["loss"].to_numpy() for s in STEPS]
    return Part(tokens.reset_index(drop=True), np.stack(losses, axis=1)[tokens["row"]])


def imported_losses(store: Path) -> np.ndarray:
    """float32 (tokens, checkpoints) of a store, by checkpoint."""
    files = Layout(store).scored().values()
    return np.stack([pq.read_table(path)["loss"].to_numpy() for path in files], axis=1)


# Each function writes one format into a folder, and returns the arguments of `import` and the
# number of tokens at the start of each doc that have no loss there.

Written = tuple[list[str], int]


def as_csv(part: Part, folder: Path) -> Written:
    path = folder / "losses.csv.gz"
    frame = part.long.sample(frac=1, random_state=0)
    frame = frame.rename(columns={"loss": "nll", "doc": "seq_idx", "checkpoint": "step"})
    frame.assign(nll=frame["nll"].astype(float)).to_csv(path, index=False)
    return [str(path)], 0


def as_jsonl(part: Part, folder: Path) -> Written:
    path = folder / "losses.jsonl"
    frame = part.long.assign(logprob=-part.long["loss"].astype(float)).drop(columns="loss")
    frame.sort_values(["doc", "position", "checkpoint"]).to_json(
        path, orient="records", lines=True, double_precision=12
    )
    return [str(path)], 0


def as_float16(part: Part, folder: Path) -> Written:
    path = folder / "losses.parquet"
    frame = part.long.assign(p=np.exp(-part.long["loss"].astype(float)).astype(np.float16))
    frame["p"] = np.maximum(frame["p"].to_numpy(), np.float16(6e-8))
    pq.write_table(pa.Table.from_pandas(frame.drop(columns="loss")), path)
    return [str(path), "--map", "loss=p", "--unit", "probability"], 0


def as_one_table_per_checkpoint(part: Part, folder: Path) -> Written:
    for step, frame in part.long.groupby("checkpoint"):
        path = folder / f"step{step}" / "scores.tsv"
        path.parent.mkdir()
        frame = frame.assign(bits=frame["loss"].astype(float) / np.log(2))
        frame[["doc", "token_id", "bits"]].to_csv(path, index=False, sep="\t")
    return [str(folder), "--map", "loss=bits", "--unit", "bits"], 0


def as_nested(part: Part, folder: Path) -> Written:
    path = folder / "documents.jsonl"
    with path.open("w") as file:
        for at, step in enumerate(STEPS):
            for tokens, losses in part.docs():
                row = {
                    "step": step,
                    "id": f"doc {tokens['doc'].iloc[0]}",
                    "tokens": tokens["token_str"].tolist(),
                    "token_ids": tokens["token_id"].tolist(),
                    "losses": [None, *losses[1:, at].astype(float).tolist()],
                }
                file.write(json.dumps(row) + "\n")
    return [str(path)], 1


def as_memorisation_profiles(part: Part, folder: Path) -> Written:
    names = [f"{7 * n + 3}" for n in range(N_DOCS)]
    sequences = [t["token_id"].tolist() for t, _ in part.docs()]
    pq.write_table(pa.table({"seq_idx": names, "token_ids": sequences}), folder / "text.parquet")
    (folder / "stats").mkdir()
    for at, step in enumerate(STEPS):
        sup = [losses[1:, at].tolist() for _, losses in part.docs()]
        row = {"seq_idx": [int(n) for n in names], "sup": sup}
        row["entropy"] = [[1.0] * len(x) for x in sup]
        row["rank"] = [[0] * len(x) for x in sup]
        pq.write_table(pa.table(row), folder / "stats" / f"70m-step{step}.parquet")
    return [str(folder / "stats"), "--tokens", str(folder / "text.parquet")], 1


def as_marin(part: Part, folder: Path) -> Written:
    for at, step in enumerate(STEPS):
        rows = []
        for tokens, losses in part.docs():
            pieces = [t.encode() for t in tokens["token_str"]]
            ends = np.cumsum([len(p) for p in pieces])
            starts = ends - [len(p) for p in pieces]
            per_byte = np.zeros(ends[-1])
            for start, end, loss in list(zip(starts, ends, losses[:, at], strict=True))[1:]:
                per_byte[start:end] = float(loss) / (end - start)
            rows.append({
                "text": b"".join(pieces).decode(), "token_ids": tokens["token_id"].tolist(),
                "per_byte_loss": per_byte, "token_byte_starts": starts, "token_byte_ends": ends,
            })  # fmt: skip
        path = folder / "run" / f"step-{step}" / "scored_documents.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    return [str(folder / "run")], 1


def as_prime_rl(part: Part, folder: Path) -> Written:
    for at, step in enumerate(STEPS):
        path = folder / "token_exports" / f"step_{step}" / "rank_0.jsonl"
        path.parent.mkdir(parents=True)
        with path.open("w") as file:
            for n, (tokens, losses) in enumerate(part.docs()):
                logprobs = (-losses[:, at].astype(float)).tolist()
                row = {
                    "step": step + 1, "export_step": step, "rank": 0, "export_sequence_idx": n,
                    "token_ids": tokens["token_id"].tolist(), "loss_mask": [True] * len(tokens),
                    "trainer_logprobs": [0.0, *logprobs[1:]], "entropy": [0.5] * len(tokens),
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")
    return [str(folder / "token_exports")], 1


def as_vllm(part: Part, folder: Path) -> Written:
    def entry(token: Any, loss: float) -> dict[str, Any]:
        other = {"logprob": -0.1, "rank": 1, "decoded_token": "x"}
        own = {"logprob": -loss, "rank": 2, "decoded_token": token.token_str}
        return {str(token.token_id): own, "99999": other}

    def row(tokens: pd.DataFrame, losses: np.ndarray) -> dict[str, Any]:
        entries = [entry(t, float(x)) for t, x in zip(tokens.itertuples(), losses, strict=True)]
        return {
            "prompt_token_ids": tokens["token_id"].tolist(),
            "prompt_logprobs": [None, *entries[1:]],
        }

    for at, step in enumerate(STEPS):
        rows = [row(tokens, losses[:, at]) for tokens, losses in part.docs()]
        (folder / f"checkpoint-{step}.json").write_text(json.dumps(rows))
    return [str(folder)], 1


def as_sglang(part: Part, folder: Path) -> Written:
    for at, step in enumerate(STEPS):
        with gzip.open(folder / f"checkpoint-{step}.jsonl.gz", "wt") as file:
            for tokens, losses in part.docs():
                found = [
                    [-float(x), int(i), t]
                    for x, i, t in zip(
                        losses[:, at], tokens["token_id"], tokens["token_str"], strict=True
                    )
                ]
                found[0][0] = None
                file.write(json.dumps({"meta_info": {"input_token_logprobs": found}}) + "\n")
    return [str(folder)], 1


def as_minicons(part: Part, folder: Path) -> Written:
    for at, step in enumerate(STEPS):
        docs = []
        for tokens, losses in part.docs():
            scores = (-losses[:, at].astype(float)).tolist()
            docs.append(
                [list(x) for x in zip(tokens["token_str"], [0.0, *scores[1:]], strict=True)]
            )
        (folder / f"step{step}.json").write_text(json.dumps(docs))
    return [str(folder)], 1


def as_oh_schuler(part: Part, folder: Path) -> Written:
    for at, step in enumerate(STEPS):
        bits = part.losses[:, at].astype(float) / np.log(2)
        lines = [f"w{i} {x!r}" for i, x in zip(part.tokens["token_id"], bits.tolist(), strict=True)]
        (folder / f"surprisals.step{step}.csv").write_text(
            "\n".join(["word llmsurp", *lines]) + "\n"
        )
    return [str(folder)], 0


def as_chang_bergen(part: Part, folder: Path) -> Written:
    bits = np.concatenate([losses[1:] for _, losses in part.docs()]).astype(float) / np.log(2)
    (folder / "surprisals").mkdir()
    for start in range(0, len(bits), 250):
        some = bits[start : start + 250]
        np.save(folder / "surprisals" / f"surprisals_tokens_{start}-{start + len(some)}.npy", some)
    lines = [" ".join(map(str, t["token_id"])) for t, _ in part.docs()]
    (folder / "sequences.txt").write_text("\n".join(lines) + "\n")
    steps = ",".join(map(str, STEPS))
    sequences = str(folder / "sequences.txt")
    return [str(folder / "surprisals"), "--tokens", sequences, "--checkpoints", steps], 1


def as_xia(part: Part, folder: Path) -> Written:
    sizes = {"125m": torch.tensor(part.losses), "1.3b": torch.zeros(*part.losses.shape)}
    torch.save(sizes, folder / "losses.pt")
    part.tokens[["doc", "token_str"]].to_json(folder / "t.jsonl", orient="records", lines=True)
    steps = ",".join(map(str, STEPS))
    named = ["--array", "125m", "--checkpoints", steps, "--tokens", str(folder / "t.jsonl")]
    return [str(folder / "losses.pt"), *named], 0


def as_fehlauer(part: Part, folder: Path) -> Written:
    np.save(folder / "input_text_encoded.npy", part.tokens["token_id"].to_numpy())
    for at, step in enumerate(STEPS):
        path = folder / "pythia-70m" / f"step{step}" / "probabilities.npy"
        path.parent.mkdir(parents=True)
        found = np.exp(-part.losses[1:, at].astype(float)).astype(np.float16)
        np.save(path, np.maximum(found, np.float16(6e-8)))
    return [str(folder)], 1


def as_npz(part: Part, folder: Path) -> Written:
    path = folder / "all.npz"
    ids = part.tokens["token_id"].to_numpy()
    doc = part.tokens["doc"].to_numpy()
    np.savez(path, losses=part.losses.T, token_ids=ids, doc=doc, checkpoints=np.array(STEPS))
    return [str(path)], 0


def as_npy_per_checkpoint(part: Part, folder: Path) -> Written:
    (folder / "losses").mkdir()
    for at, step in enumerate(STEPS):
        np.save(folder / "losses" / f"losses_{step}.npy", part.losses[:, at])
    part.tokens[["doc", "token_id"]].to_csv(folder / "tokens.csv", index=False)
    return [str(folder / "losses"), "--tokens", str(folder / "tokens.csv")], 0


FORMATS = {
    "long": [as_csv, as_jsonl, as_float16, as_one_table_per_checkpoint],
    "nested": [as_nested],
    "memorisation-profiles": [as_memorisation_profiles],
    "marin": [as_marin],
    "prime-rl": [as_prime_rl],
    "prompt-logprobs": [as_vllm, as_sglang],
    "minicons": [as_minicons],
    "oh-schuler": [as_oh_schuler],
    "chang-bergen": [as_chang_bergen],
    "xia": [as_xia],
    "fehlauer": [as_fehlauer],
    "matrix": [as_npz, as_npy_per_checkpoint],
}
"""Name of the format -> functions that write it."""
