"""Make the demo from scratch: train, score, show what the model learned, copy what is shipped."""

import shutil
from pathlib import Path

from ingest.demo.evidence import evidence_table, plant
from ingest.demo.text import addresses, split, token_stream, train_tokenizer, write_text
from ingest.demo.train import CONTEXT, Recipe, train
from ingest.errors import IngestError
from ingest.options import RunOptions
from ingest.run import run
from ingest.sources.folder import find_checkpoints
from store.layout import Layout

BUNDLED_STEPS = (0, 400, 700, 1_000, 1_380, 1_640, 2_000, 3_000)
MODEL = "demo GPT-2 (2 layers, width 128)"
MAX_PARTS = 4
TEXT = "addresses.parquet"


def make_demo(out: Path, recipe: Recipe) -> None:
    """Train into `out/checkpoints`, score into `out/store`, print and write the evidence.

    Raises IngestError if `out` holds a run already: runs are never mixed.
    """
    checkpoints = out / "checkpoints"
    if checkpoints.exists():
        raise IngestError(f"{checkpoints} exists already: move it away or name another --out")
    training, held_out = split(addresses())
    out.mkdir(parents=True, exist_ok=True)
    write_text(held_out, out / TEXT)
    tokenizer = train_tokenizer([a.text for a in training])
    stream = token_stream(tokenizer, [a.text for a in training])
    print(
        f"{len(training)} addresses, {len(stream):,} tokens to train on; {len(held_out)} held out"
    )
    for _ in train(stream, tokenizer, recipe, checkpoints):
        pass
    score_demo(out, recipe)
    found = find_checkpoints(checkpoints)
    unseen = token_stream(tokenizer, [a.text for a in held_out])
    planted = plant(unseen, CONTEXT, int(tokenizer.bos_token_id), recipe.seed)
    table = evidence_table(Layout(out / "store"), found, planted)
    (out / "evidence.md").write_text(table, encoding="utf-8")
    print(table)


def score_demo(out: Path, recipe: Recipe) -> None:
    """Score and probe all checkpoints of the run, on at most four docs of each held-out address."""
    options = RunOptions(
        name=MODEL,
        max_parts=MAX_PARTS,
        tokens_per_step=recipe.batch * CONTEXT,
        probes=True,
    )
    run(out / "checkpoints", out / TEXT, out / "store", options)


def copy_bundle(out: Path, target: Path) -> None:
    """Copy what is shipped to `target`: the store, the text, and eight checkpoints, with what these
    predict."""
    for name in ("losses", "predictions", "checkpoints", "text"):
        shutil.rmtree(target / name, ignore_errors=True)
    generated = shutil.ignore_patterns("index", "catalog.duckdb*")
    shutil.copytree(out / "store", target, dirs_exist_ok=True, ignore=generated)
    (target / "text").mkdir()
    shutil.copy(out / TEXT, target / "text" / TEXT)
    for name in (f"checkpoint-{step}" for step in BUNDLED_STEPS):
        if not (out / "checkpoints" / name).is_dir():
            continue  # this run is shorter than the shipped one
        shutil.copytree(out / "checkpoints" / name, target / "checkpoints" / name)
    shutil.copy(out / "evidence.md", target / "evidence.md")
    shutil.rmtree(out / "predicted", ignore_errors=True)
    options = RunOptions(name=MODEL, max_parts=MAX_PARTS, predictions=True)
    run(target / "checkpoints", out / TEXT, out / "predicted", options)
    shutil.copytree(Layout(out / "predicted").predictions, Layout(target).predictions)
