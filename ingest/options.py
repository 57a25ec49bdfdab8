"""The options of a run. Each is one field, with its help text, default and place in the manifest.

The command line derives its parameters from these fields, and the manifest its entries, so a new
option is a field here and the code that uses it.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_type_hints

import typer

from ingest.sources.revisions import Naming
from ingest.sources.selection import Selection, Shard, StepRange, parse_shard, parse_steps

CHECKPOINTS, TEXT, MODEL, OUTPUT, SCALE = "Checkpoints", "Text", "Model", "Output", "Many machines"


def _option(
    default: Any,
    panel: str,
    help: str,
    *,
    flag: str | None = None,
    only_run: bool = False,
    recorded: bool = False,
    may_change: bool = False,
    **typer_arguments: Any,
) -> Any:
    """A field with its command-line option: `flag`, or else the field's name with dashes.

    `only_run` options are not offered by `plan`. A `recorded` option decides the losses: its value
    is an entry of the manifest, and a store with another value is refused, unless it `may_change`:
    then the entry says whether any run had it.
    """
    metadata = {
        "flag": flag,
        "only_run": only_run,
        "recorded": recorded,
        "may_change": may_change,
        "typer": {"help": help, "rich_help_panel": panel, **typer_arguments},
    }
    return field(default=default, metadata=metadata)


def _steps(text: str) -> StepRange:
    try:
        return parse_steps(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a range of steps such as 0:20000:500, 1000: or :20000"
        ) from error


def _shard(text: str) -> Shard:
    try:
        return parse_shard(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a shard such as 1/16 or 16/16") from error


@dataclass(frozen=True)
class RunOptions:
    """How to select and score checkpoints. Fields left at None follow from the checkpoints."""

    steps: StepRange | None = _option(  # noqa: RUF009
        None,
        CHECKPOINTS,
        "Score only steps in this range, both ends included: 0:20000:500, :20000 or 1000:",
        parser=_steps,
        metavar="FIRST:LAST:SPACING",
    )
    every: int = _option(
        1, CHECKPOINTS, "Score every N-th of these checkpoints", min=1, metavar="N"
    )
    max_checkpoints: int | None = _option(
        None,
        CHECKPOINTS,
        "Score at most N of these, evenly spaced in log step",
        flag="--max",
        min=1,
        metavar="N",
    )
    revisions: str | None = _option(
        None, CHECKPOINTS, "Score only these revisions or folders", metavar="NAME,NAME,…"
    )
    revision_pattern: str | None = _option(
        None,
        CHECKPOINTS,
        r"Regular expression for names, with a group named step, such as `run7-(?P<step>\d+)`",
        metavar="REGEX",
    )
    variant: str | None = _option(
        None,
        CHECKPOINTS,
        "Run to score if the source holds several, such as seed-a. `run` accepts several, and "
        "writes a store for each",
        metavar="NAME,NAME,…",
    )
    tokens_per_step: int | None = _option(
        None,
        CHECKPOINTS,
        "Training tokens per step, to record tokens_seen; known for some families",
        min=1,
        metavar="N",
    )
    prefetch: int = _option(
        2, CHECKPOINTS, "Maximum number of downloaded checkpoints on disk", min=1, metavar="N"
    )
    keep_cache: bool = _option(
        False, CHECKPOINTS, "Keep downloads in the Hub's cache", only_run=True
    )
    column: str | None = _option(
        None,
        TEXT,
        "Column that holds the text",
        show_default="text; messages with --chat",
        metavar="NAME",
    )
    chat: bool = _option(
        False,
        TEXT,
        "The column holds conversations, lists of messages with role and content: apply the "
        "tokenizer's chat template, and mark each token's role and turn",
        recorded=True,
    )
    document_column: str | None = _option(
        None,
        TEXT,
        "Column that names the source documents, the sampled unit of bands, although rows may "
        "share a name in it",
        show_default="see docs/ingest.md",
        metavar="NAME",
        recorded=True,
    )
    split: str | None = _option(
        None,
        TEXT,
        "Split of a text on the Hub",
        show_default="test",
        metavar="NAME",
    )
    context_length: int | None = _option(
        None,
        TEXT,
        "Tokens per doc, including the BOS",
        show_default="the model's",
        min=1,
        metavar="N",
    )
    max_parts: int | None = _option(
        None,
        TEXT,
        "Maximum number of docs per source document",
        min=1,
        metavar="N",
        recorded=True,
    )
    stride: int | None = _option(
        None,
        TEXT,
        "Overlap windows so that every token outside a document's first window is predicted from "
        "at least N tokens, including the BOS. Windows start CONTEXT_LENGTH - N tokens apart; half "
        "the context length is a common choice",
        min=1,
        metavar="N",
        recorded=True,
    )
    limit_docs: int | None = _option(
        None,
        TEXT,
        "Maximum number of source documents to read",
        min=1,
        metavar="N",
        recorded=True,
    )
    limit_tokens: int | None = _option(
        None,
        TEXT,
        "Maximum number of tokens to score",
        min=1,
        metavar="N",
        recorded=True,
    )
    no_bos: bool = _option(False, TEXT, "Do not prepend a BOS token to each doc")
    tokenizer: str | None = _option(
        None,
        MODEL,
        "Folder or Hub repository of the tokenizer",
        show_default="the source's",
        metavar="NAME",
    )
    trust_remote_code: bool = _option(
        False,
        MODEL,
        "Run Python code that comes with a checkpoint. It can do anything you can do",
        recorded=True,
        may_change=True,
    )
    dtype: Literal["float32", "bfloat16", "float16"] = _option(
        "float32", MODEL, "Precision of the model. The head and the softmax are always in float32"
    )
    precision: Literal["highest", "high", "medium"] = _option(
        "highest",
        MODEL,
        "Products of float32 numbers: highest, in float32; high, in TF32; medium, in bfloat16 "
        "except in the head. Only some devices are faster with less",
        recorded=True,
    )
    device: str | None = _option(
        None,
        MODEL,
        "Device to score on: cpu, cuda, cuda:1, mps, xpu, …",
        show_default="an accelerator if available",
        metavar="NAME",
    )
    attention: str | None = _option(
        None,
        MODEL,
        "Attention implementation: sdpa, eager, flash_attention_2, …",
        show_default="the model's",
        metavar="NAME",
    )
    compile: bool = _option(False, MODEL, "Compile the model with torch.compile")
    batch_tokens: int | None = _option(
        None,
        MODEL,
        "Maximum number of tokens per batch",
        show_default="4096 on a CPU, else from the device's free memory",
        min=1,
        metavar="N",
    )
    name: str | None = _option(
        None,
        OUTPUT,
        "Name of the model in the manifest",
        only_run=True,
        show_default="the source's",
        metavar="NAME",
    )
    probes: bool = _option(
        False,
        OUTPUT,
        "Also measure repeated-sequence losses and the prefix-matching score of every attention "
        "head",
        only_run=True,
    )
    predictions: bool = _option(
        False,
        OUTPUT,
        "Also record the model's prediction of every token: the token's rank, the entropy, and the "
        "first guess with its loss. Decided when a store is created",
        recorded=True,
    )
    shard: Shard | None = _option(  # noqa: RUF009
        None,
        SCALE,
        "Score only this share of the checkpoints, such as 3/16; other processes score the others "
        "into the same store at the same time",
        only_run=True,
        parser=_shard,
        metavar="K/N",
    )
    engine: Literal["local", "ray"] = _option(
        "local", SCALE, "ray: one actor per GPU or core of a Ray cluster", only_run=True
    )

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that were named."""
        return _names(self.variant)

    @property
    def naming(self) -> Naming:
        """How to parse the names of revisions. Several variants are separate runs."""
        several = len(self.variants) > 1
        return Naming(
            pattern=self.revision_pattern,
            revisions=_names(self.revisions),
            variant=None if several else self.variant,
            tokens_per_step=self.tokens_per_step,
        )

    @property
    def selection(self) -> Selection:
        """Which checkpoints to score."""
        return Selection(self.steps, self.every, self.max_checkpoints)

    @property
    def recorded(self) -> dict[str, Any]:
        """The manifest's entries: the values of all recorded options."""
        return {option.name: getattr(self, option.name) for option in recorded_options()}


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@dataclass(frozen=True)
class RecordedOption:
    """An option that is an entry of the manifest. Stores that lack the entry had the default."""

    name: str
    flag: str
    default: Any
    may_change: bool


def recorded_options() -> list[RecordedOption]:
    """All options that are entries of the manifest, in order."""
    found = [f for f in fields(RunOptions) if f.metadata["recorded"]]
    return [RecordedOption(f.name, _flag(f), f.default, f.metadata["may_change"]) for f in found]


def takes_run_options(
    only_plan: bool = False,
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Decorates a command whose parameter `options` is a RunOptions.

    The command line gets a parameter for each field instead, or for those that `plan` offers.
    """
    taken = [f for f in fields(RunOptions) if not (only_plan and f.metadata["only_run"])]
    hints = get_type_hints(RunOptions)

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def called(**given: Any) -> int:
            options = RunOptions(**{f.name: given.pop(f.name) for f in taken})
            return command(**given, options=options)

        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.name != "options"]
        derived = [_parameter(f, hints[f.name]) for f in taken]
        called.__signature__ = signature.replace(parameters=[*own, *derived])  # type: ignore[attr-defined]
        return called

    return decorate


def _parameter(option: Any, hint: Any) -> inspect.Parameter:
    """A dataclass field as a parameter that typer understands."""
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option.default,
        annotation=Annotated[hint, typer.Option(_flag(option), **option.metadata["typer"])],
    )


def _flag(option: Any) -> str:
    return str(option.metadata["flag"] or f"--{option.name.replace('_', '-')}")
