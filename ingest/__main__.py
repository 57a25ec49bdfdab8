"""The command line of ingest: `python -m ingest run | import | plan | verify | compare | …`.

Torch takes seconds to import, so commands import what they need when they are called.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from ingest.errors import IngestError
from ingest.options import OUTPUT, TEXT, RunOptions, takes_run_options

EPILOG = (
    "Exit status: 0 on success; 1 if a checkpoint failed, a store is not whole, or two stores "
    "differ; 2 for unusable input; 130 if interrupted (what was written is kept: rerun the same "
    "command to resume)."
)
INTERRUPTED = 130

app = typer.Typer(
    help="Score training checkpoints on every token of a text.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,  # `token-trails --install-completion` covers these commands
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

SourceHelp = (
    "Folder that holds checkpoint folders (checkpoint-400/, step400/, …), or a Hub repository "
    "OWNER/NAME"
)
TextHelp = (
    "File (.txt, .jsonl, .parquet) or folder of files; wikitext-2 or wikitext-103 (a document per "
    "article); or hf:REPO:CONFIG:SPLIT, a data set on the Hub"
)
StoreFolder = Annotated[Path, typer.Argument(help="Store to check", metavar="STORE")]


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status; errors are one line on standard error."""
    if sys.platform == "win32":
        return _fail("ingest needs Linux or macOS: on Windows, run it in WSL")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)  # sent by Slurm and containers
    try:
        status = int(app(arguments, prog_name=_program(), standalone_mode=False) or 0)
    except IngestError as error:
        return _fail(str(error))
    except typer.TyperException as error:  # an unknown option, a value that does not parse
        return _fail_usage(error)
    except OSError as error:  # a full disk, a folder without write permission
        return _fail(f"{error}: fix this and rerun the same command")
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:
        print("interrupted: rerun the same command to resume", file=sys.stderr)
    return status


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _program() -> str:
    installed = Path(sys.argv[0]).stem == "token-trails"
    return "token-trails ingest" if installed else "python -m ingest"


def _fail_usage(error: typer.TyperException) -> int:
    message = error.format_message().rstrip(".")
    if not message:  # there was no command, so the help was shown
        return 2
    command = getattr(getattr(error, "ctx", None), "command_path", _program())
    return _fail(f"{message}. See `{command} --help`")


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


@app.command("run", rich_help_panel="Score", epilog=EPILOG)
@takes_run_options()
def run_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help=f"{SourceHelp}. Several sources, such as seeds of one recipe, get a store each "
            "inside --store",
            metavar="SOURCE",
            show_default=False,
        ),
    ],
    text: Annotated[str, typer.Option(help=TextHelp, metavar="TEXT", rich_help_panel=TEXT)],
    store: Annotated[
        str,
        typer.Option(
            help="Folder or fsspec URL (s3://…) to write. An existing store is resumed",
            metavar="STORE",
            rich_help_panel=OUTPUT,
        ),
    ],
    options: RunOptions,
) -> int:
    """Score checkpoints into a store. Rerun the same command to resume.

    A folder of checkpoints, then 50 checkpoints from the Hub:

        python -m ingest run runs/mine --text probe.txt --store build/mine

        python -m ingest run EleutherAI/pythia-14m --max 50 --text wikitext-2 --store build/pythia
    """
    from ingest.run import print_report, print_shared, run, run_many

    if len(sources) == 1 and len(options.variants) < 2:
        return print_report(store, run(sources[0], text, store, options))
    reports, status = {}, 0
    for each, report in run_many(sources, text, store, options):
        status = max(status, print_report(each, report))
        reports[Path(str(each)).name] = report
    print_shared(reports)
    return status


@app.command("import", rich_help_panel="Import and publish", epilog=EPILOG)
def import_command(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="File or folder of per-token results", metavar="PATH", show_default=False
        ),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Folder to write; it must not exist", metavar="DIR")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="Format, if it is not recognised; see --formats", metavar="NAME"),
    ] = None,
    map: Annotated[
        str | None,
        typer.Option(help="Names of columns: loss=nll,doc=seq_idx", metavar="OURS=THEIRS,…"),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="Of the numbers: nats, bits or log10 (all of -log p), logprob (ln p), probability",
            metavar="UNIT",
        ),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            help="Table of tokens, for losses that are published without them", metavar="FILE"
        ),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            help="Steps of a matrix's columns (0,100,… or a file of them), or the one of a file "
            "that does not say its own",
            metavar="STEPS",
        ),
    ] = None,
    array: Annotated[
        str | None, typer.Option(help="Array in an .npz or .pt file", metavar="NAME")
    ] = None,
    pieces: Annotated[
        str | None,
        typer.Option(
            help="How tokens are written: plain, byte-level (Ġthe), sentencepiece (▁the) or words",
            metavar="KIND",
        ),
    ] = None,
    rank_from: Annotated[
        int | None,
        typer.Option(help="Rank of the most likely token: 0 or 1", min=0, max=1, metavar="N"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model, for people", metavar="NAME")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Name of the text, for people", metavar="NAME")
    ] = None,
    sniff: Annotated[
        bool, typer.Option("--sniff", help="Only say which format it is, and why")
    ] = False,
    formats: Annotated[bool, typer.Option("--formats", help="Only list the formats")] = False,
) -> int:
    """Import per-token results of another tool as a store.

    python -m ingest import losses.parquet --store build/theirs
    """
    from ingest.imports import command

    if formats:
        return command.list_formats()
    if path is None:
        raise typer.BadParameter("PATH is missing: name the file or folder to import")
    given = command.options(map, unit, tokens, checkpoints, array, pieces, rank_from)
    if sniff:
        return command.sniff(path, given, format)
    return command.run(path, store, given, format, name, text)


@app.command("push", rich_help_panel="Import and publish", epilog=EPILOG)
def push_command(
    store: Annotated[Path, typer.Argument(help="Store to publish", metavar="STORE")],
    url: Annotated[str, typer.Argument(help="Data set: hf://datasets/OWNER/NAME", metavar="URL")],
    public: Annotated[
        bool, typer.Option("--public", help="Create a public data set instead of a private one")
    ] = False,
) -> int:
    """Publish a store as a data set on the Hub. Rerun the same command to resume.

    python -m ingest push data/demo hf://datasets/OWNER/NAME
    """
    from ingest.output.push import push

    print(push(store, url, public))
    return 0


@app.command("plan", rich_help_panel="Score", epilog=EPILOG)
@takes_run_options(only_plan=True)
def plan_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help=f"{SourceHelp}. Several sources, such as seeds of one recipe, are also compared",
            metavar="SOURCE",
            show_default=False,
        ),
    ],
    options: RunOptions,
    text: Annotated[
        str | None,
        typer.Option(
            help=f"Also estimate disk space and time for this text: {TextHelp}",
            metavar="TEXT",
            rich_help_panel=TEXT,
        ),
    ] = None,
) -> int:
    """Show what `run` would score, and warn about gaps and duplicates. Downloads no weights.

    python -m ingest plan stanford-crfm/battlestar-gpt2-small-x49 --max 50
    """
    from ingest.plan import describe, describe_cost, make_plans, run_trial, shared

    plans = make_plans(sources, options)
    for plan, source, own in plans:
        print(describe(plan, options.prefetch), flush=True)
        if text:
            from ingest.run import refuse_unusable

            refuse_unusable(options)
            print(describe_cost(plan, run_trial(source, text, own)))
    for finding in shared([plan for plan, _, _ in plans]):
        print(f"runs: {finding}")
    return 0


@app.command("verify", rich_help_panel="Check", epilog=EPILOG)
def verify_command(store: StoreFolder) -> int:
    """Check that a store is whole and consistent."""
    from ingest.verify import verify
    from store.layout import Layout

    problems = verify(store)
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    n = len(Layout(store).scored())
    verdict = "not whole" if problems else "whole and consistent"
    print(f"{store}: {verdict}; checkpoints scored: {n}")
    return 1 if problems else 0


@app.command("compare", rich_help_panel="Check", epilog=EPILOG)
def compare_command(
    store: StoreFolder,
    reference: Annotated[Path, typer.Argument(help="Store to compare with", metavar="REFERENCE")],
    tolerance: Annotated[
        float, typer.Option(help="Largest difference that counts as equal, in nats", metavar="NATS")
    ] = 1e-3,
) -> int:
    """Compare the losses of two stores of the same tokens."""
    from ingest.verify import compare, only_in_one

    if not tolerance >= 0:  # also refuses NaN
        raise typer.BadParameter(f"--tolerance is {tolerance}: expected 0 or more, in nats")
    distances = []
    for d in compare(store, reference):
        print(f"step {d.checkpoint:>9,}: {d}")
        distances.append(d)
    far = [d for d in distances if not d.within(tolerance)]
    if apart := only_in_one(store, reference):
        noun = "checkpoint" if apart == 1 else "checkpoints"
        print(f"not compared: {apart} {noun} that only one of them has")
    far_noun = "checkpoint differs" if len(far) == 1 else "checkpoints differ"
    verdict = f"{len(far)} {far_noun} by more" if far else f"all {len(distances)} agree"
    print(f"{store} and {reference}: {verdict} (to {tolerance:g} nats)")
    return 1 if far else 0


@app.command("ngrams", rich_help_panel="Extend", epilog=EPILOG)
def ngrams_command(
    store: Annotated[Path, typer.Argument(help="Store to add the features to", metavar="STORE")],
    text: Annotated[
        Path,
        typer.Option(
            help="File (.txt, .jsonl, .parquet) or folder to estimate from", metavar="TEXT"
        ),
    ],
    tokenizer: Annotated[
        str, typer.Option(help="The store's tokenizer: folder or Hub repository", metavar="NAME")
    ],
    column: Annotated[
        str, typer.Option(help="Column that holds the text", metavar="NAME")
    ] = "text",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing ones")] = False,
) -> int:
    """Add the features unigram_loss and bigram_loss, estimated from a text, to a store."""
    from ingest.text.ngrams import add_ngram_features

    found = add_ngram_features(store, text, tokenizer, column, overwrite)
    if found.left_out:
        print(
            f"{found.left_out} document{' was' if found.left_out == 1 else 's were'} left out "
            "because the store contains them",
            file=sys.stderr,
        )
    print(
        f"{store}: unigram_loss {found.unigram_loss:.3f} and bigram_loss "
        f"{found.bigram_loss:.3f} nats on average, from {found.n_tokens:,} tokens of "
        f"{found.n_documents:,} document{'' if found.n_documents == 1 else 's'}"
    )
    return 0


@app.command("demo", rich_help_panel="Extend", epilog=EPILOG)
def demo_command(
    out: Annotated[Path, typer.Option(help="Folder to write", metavar="DIR")] = Path("build/demo"),
    steps: Annotated[int, typer.Option(help="Training steps", min=1, metavar="N")] = 3_000,
    seed: Annotated[int, typer.Option(help="Random seed", metavar="N")] = 0,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Also copy what the repository ships to this folder", metavar="DIR"),
    ] = None,
) -> int:
    """Train the demo model from scratch and score it (37 minutes on 2 cores)."""
    from ingest.demo.make import copy_bundle, make_demo
    from ingest.demo.train import Recipe

    make_demo(out, Recipe(steps=steps, seed=seed))
    if bundle:
        copy_bundle(out, bundle)
    return 0


if __name__ == "__main__":
    status = main()
    if status == INTERRUPTED:  # end now, without waiting for a download in another thread
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)
