"""The command line of ingest: `python -m ingest run | plan | verify | compare | ngrams | demo`."""

import argparse
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.errors import IngestError
from ingest.sources.checkpoints import Naming, Selection, Shard, StepRange, parse_shard, parse_steps
from ingest.text.ngrams import add_ngrams

# The part of the command line that says what text is scored, and how it is cut.

# Options of `ingest.prepare` that have the same name here.
_SAME = ("column", "split", "limit_docs", "limit_tokens", "context_length", "max_parts", "stride")


def add_text(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add --text and all that goes with it."""
    add = parser.add_argument
    # fmt: off
    add("--text", required=required,
        help=".txt, .jsonl, .parquet or folder; wikitext-2, wikitext-103 (a document is an "
        "article); or hf:REPO:CONFIG:SPLIT, a data set on the Hub")
    add("--column", default="text", help="column that holds the text (%(default)s)")
    add("--split", help="of a text on the Hub (test)")
    add("--limit-docs", type=positive, help="read so many documents of the text at most")
    add("--limit-tokens", type=positive, help="score so many tokens of the text at most")
    add("--context-length", type=positive, help="tokens per doc, BOS included (model's)")
    add("--stride", type=positive,
        help="overlapping windows: every token but those of a document's first window is "
        "predicted from at least so many tokens, BOS included; each window begins "
        "CONTEXT_LENGTH - STRIDE tokens after the one before (half of it is a usual choice)")
    # fmt: on
    add("--max-parts", type=positive, help="docs per source document at most")
    add("--no-bos", action="store_true", help="put nothing in front of each doc")


def text_options(options: argparse.Namespace) -> dict[str, Any]:
    """What was said, as arguments of `ingest.prepare.Options`."""
    return {name: getattr(options, name) for name in _SAME} | {"use_bos": not options.no_bos}


def positive(text: str) -> int:
    """A whole number from 1 on. Raises ArgumentTypeError."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return value


if TYPE_CHECKING:
    from ingest.prepare import Options

EPILOG = """\
exit status: 0 all is well; 1 a checkpoint failed, a store is not whole, or two differ;
2 unusable input;
130 interrupted (what was written stays; the same command goes on from there)
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)  # what Slurm and containers send
    try:
        return int(options.command(options))
    except IngestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"error: {error}: mend that and run the same command again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on from here", file=sys.stderr)
        return 130


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ingest",
        description="Score training checkpoints on every token of a text.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="score checkpoints into a store"))
    _add_plan(commands.add_parser("plan", help="what would be scored, and what is odd about it"))
    _add_verify(commands.add_parser("verify", help="is a store whole and consistent?"))
    _add_compare(commands.add_parser("compare", help="how far apart are two stores' losses?"))
    add_ngrams(commands.add_parser("ngrams", help="n-gram losses from a text, as features"))
    _add_demo(commands.add_parser("demo", help="train the demo model and score it, from nothing"))
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_run)
    _add_source(parser, several=True)
    parser.add_argument(
        "--store", required=True, help="folder, or fsspec URL (s3://…), to write; resumes there"
    )
    add_text(parser)
    _add_scoring(parser)
    parser.add_argument("--name", help="the model's name in the manifest (the source's folder)")
    parser.add_argument("--shard", type=_shard, help="3/16: the third of 16 shares, run at once")
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: actors, one per GPU or core of a Ray cluster (%(default)s)",
    )
    parser.add_argument("--keep-cache", action="store_true", help="keep what was downloaded")
    parser.add_argument(
        "--probes", action="store_true", help="losses on repeats, and heads that look back there"
    )


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_plan)
    _add_source(parser, several=False)
    add_text(parser, required=False)
    _add_scoring(parser)


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    """How models are run; for `plan`, in a short trial."""
    parser.add_argument("--tokenizer", help="its folder or Hub repository (found in the source)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--device", help="cuda, cpu, … (cuda where it is)")
    parser.add_argument("--attention", help="sdpa, eager, flash_attention_2, … (the model's)")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument(
        "--batch-tokens", type=positive, default=4_096, help="at most (%(default)s)"
    )


def _add_source(parser: argparse.ArgumentParser, several: bool) -> None:
    """What `run` and `plan` have in common: where checkpoints come from, and which of them."""
    what = "folder of checkpoint-400/, …, or Hub repository owner/name"
    if several:
        what += "; of several (seeds of one recipe), each gets a store of its own in --store"
        parser.add_argument("sources", metavar="source", nargs="+", help=what)
    else:
        parser.add_argument("source", help=what)
    parser.add_argument("--steps", type=_steps, help="first:last:spacing, both ends included")
    parser.add_argument("--every", type=positive, default=1, help="every n-th of them")
    parser.add_argument("--max", type=positive, help="so many, evenly spread over log steps")
    parser.add_argument("--revisions", type=_names, default=(), help="names, with commas between")
    parser.add_argument("--revision-pattern", help="regular expression with a group named step")
    parser.add_argument("--variant", help="of several runs in a source: seed-…, ingredient…; a,b")
    parser.add_argument("--tokens-per-step", type=positive, help="training tokens per step")
    parser.add_argument(
        "--prefetch", type=positive, default=2, help="checkpoints on disk at once (%(default)s)"
    )


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_verify)
    parser.add_argument("store", type=Path)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_compare)
    parser.add_argument("store", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument(
        "--tolerance", type=_nats, default=1e-3, help="nats that are no difference (%(default)s)"
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_demo)
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="(%(default)s)")
    parser.add_argument("--steps", type=positive, default=3_000, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--bundle", type=Path, help="then copy what is shipped to this folder")


def _steps(text: str) -> StepRange:
    try:
        return parse_steps(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no range of steps such as 0:20000:500, :20000 or 1000:"
        ) from error


def _shard(text: str) -> Shard:
    try:
        return parse_shard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no shard: expected 1/16 to 16/16, for example"
        ) from error


def _nats(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not number >= 0:  # nor NaN
        raise argparse.ArgumentTypeError(f"{text!r} is no distance: expected 0 or more, in nats")
    return number


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _naming(options: argparse.Namespace) -> Naming:
    return Naming(
        pattern=options.revision_pattern,
        revisions=options.revisions,
        variant=None if "," in (options.variant or "") else options.variant,
        tokens_per_step=options.tokens_per_step,
    )


def _selection(options: argparse.Namespace) -> Selection:
    return Selection(options.steps, options.every, options.max)


def _plan(options: argparse.Namespace) -> int:
    from ingest.plan import look, outlay, report

    outlook = look(options.source, _naming(options), _selection(options))
    print(report(outlook, options.prefetch), flush=True)
    if options.text:
        from ingest.run import refuse_unusable
        from ingest.trial import try_out

        chosen = _options(options)
        refuse_unusable(chosen)
        print(outlay(outlook, try_out(options.source, options.text, chosen)))
    return 0


def _options(options: argparse.Namespace) -> "Options":
    """What `run` and `plan` have in common."""
    from ingest.prepare import Options  # torch takes seconds to load: only where it is needed

    return Options(
        **text_options(options),
        tokenizer=options.tokenizer,
        naming=_naming(options),
        selection=_selection(options),
        dtype=options.dtype,
        device=options.device,
        attention=options.attention,
        compile=options.compile,
        batch_tokens=options.batch_tokens,
        prefetch=options.prefetch,
    )


def _run(options: argparse.Namespace) -> int:
    from ingest.run import (
        run,
        run_many,  # torch takes seconds to load: only where it is needed
        tell,
    )

    here = ("name", "keep_cache", "probes", "shard", "engine")  # and not in `plan`
    chosen = replace(_options(options), **{name: getattr(options, name) for name in here})
    variants = _names(options.variant or "")
    if len(options.sources) == 1 and len(variants) < 2:
        report = run(options.sources[0], options.text, options.store, chosen)
        return tell(options.store, report)
    several = run_many(options.sources, options.text, options.store, chosen, variants)
    return max([tell(store, report) for store, report in several])


def _verify(options: argparse.Namespace) -> int:
    from ingest.verify import verify
    from store.layout import Layout

    problems = verify(options.store)
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    n = len(Layout(options.store).scored())
    whole = "not whole" if problems else "whole and consistent"
    print(f"{options.store}: {whole}; checkpoints scored: {n}")
    return 1 if problems else 0


def _compare(options: argparse.Namespace) -> int:
    from ingest.verify import compare, only_in_one

    distances = []
    for d in compare(options.store, options.reference):
        print(
            f"step {d.checkpoint:>9,}: largest difference {d.largest:.1e}, mean {d.mean:.1e} nats"
        )
        distances.append(d)
    # Written so that NaN, too, is too far.
    far = [d for d in distances if not d.largest <= options.tolerance]
    apart = only_in_one(options.store, options.reference)
    if apart:
        print(f"not compared: {apart} checkpoints that only one of them has")
    verdict = f"{len(far)} checkpoints differ by more" if far else f"all {len(distances)} agree"
    print(f"{options.store} and {options.reference}: {verdict} (to {options.tolerance:g} nats)")
    return 1 if far else 0


def _demo(options: argparse.Namespace) -> int:
    from ingest.demo.make import bundle, make_demo
    from ingest.demo.train import Recipe

    make_demo(options.out, Recipe(steps=options.steps, seed=options.seed))
    if options.bundle:
        bundle(options.out, options.bundle)
    return 0


if __name__ == "__main__":
    status = main()
    if status == 130:  # now, and not when the download that was going on has ended
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)
