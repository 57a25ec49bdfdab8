"""What a run would score, and what to know about it: sizes, duplicates, gaps, and from a short
trial, time and disk space. Downloads no weights.

Torch takes seconds to import, and only a trial needs it, so the trial's functions import it.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from ingest.errors import CheckpointError, IngestError
from ingest.options import RunOptions
from ingest.sources.audit import Parts, audit, audit_runs
from ingest.sources.checkpoint_files import tensor_digests
from ingest.sources.folder import Folder
from ingest.sources.open import open_source
from ingest.sources.revisions import Checkpoint, Naming
from ingest.sources.selection import Selection, select
from ingest.sources.settling import is_being_written
from ingest.sources.source import Source, Weights
from store.layout import Layout

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ingest.model.batches import DeviceWindows
    from ingest.prepare import PreparedRun
    from ingest.text.corpus import Corpus

_REQUESTS_AT_ONCE = 8  # the Hub limits the rate of requests
_GAP = 1.5  # times the usual spacing on both sides
_NEIGHBOURS = 3
_SECONDS = 5.0  # of a trial
_WINDOWS = 64
_ATTEMPTS = 3
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Plan:
    """The selected checkpoints with their weights, or the reason why one has none.

    `schedule` holds all published steps; it is empty if checkpoints were selected by name. `final`
    is the finished model, if the source has it.
    """

    source: str
    selected: list[tuple[Checkpoint, Weights | CheckpointError]]
    n_published: int
    schedule: list[int]
    final: tuple[str, Weights] | None


def make_plan(source: str | Path, naming: Naming, selection: Selection) -> Plan:
    """Ask the source. The Hub gets one request, one more for each checkpoint, and one for main.

    Raises IngestError for an unusable source.
    """
    opened = open_source(source, store=None)
    published = opened.checkpoints(naming)
    selected = select(published, selection)
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
        final = pool.submit(opened.final)
        weights = list(pool.map(lambda c: _weights(opened, c), selected))
        found = list(zip(selected, weights, strict=True))
        schedule = [] if naming.revisions else [c.checkpoint for c in published]
        return Plan(opened.name, found, len(published), schedule, final.result())


def make_plans(sources: list[str], options: RunOptions) -> list[tuple[Plan, str, RunOptions]]:
    """A plan for each run: each source, or each variant in it, with its own options.

    Raises IngestError as make_plan does.
    """
    if len(set(sources)) < len(sources):
        raise IngestError(f"of {', '.join(sources)}, two are the same: name each source once")
    plans = []
    for source in sources:
        for variant in options.variants or (None,):
            own = replace(options, variant=variant)
            plan = make_plan(source, own.naming, own.selection)
            if len(sources) * len(options.variants or (None,)) > 1:
                plan = replace(plan, source=" ".join([source, *([variant] if variant else [])]))
            plans.append((plan, source, own))
    return plans


def shared(plans: list[Plan]) -> list[str]:
    """What several runs have in common, a sentence each."""
    return audit_runs({p.source: _parts(p, tensors=False) for p in plans}) if plans[1:] else []


def _weights(source: Source, checkpoint: Checkpoint) -> Weights | CheckpointError:
    try:
        return source.weights(checkpoint)
    except CheckpointError as error:
        return error


def describe(plan: Plan, at_once: int) -> str:
    """The plan as lines of text; `at_once` checkpoints are on disk at the same time."""
    found = [w for _, w in plan.selected if isinstance(w, Weights)]
    numbers = [c.checkpoint for c, _ in plan.selected]
    largest = sum(sorted((w.size for w in found), reverse=True)[:at_once])
    lines = [
        f"{plan.source}: {len(numbers):,} of {plan.n_published:,} checkpoints, "
        f"{numbers[0]:,} to {numbers[-1]:,}",
        f"schedule: {_schedule(numbers)}",
        f"weights: {_size(sum(w.size for w in found))} in all, at most {_size(largest)} "
        f"on disk at once (--prefetch {at_once})",
    ]
    lines += [f"warning: {w}" for w in warnings(plan)] or ["no warnings"]
    return "\n".join(lines)


@dataclass(frozen=True)
class Trial:
    """What a part of the text showed: rates per token, and on which device."""

    n_tokens: int
    bytes_per_token: float
    tokens_per_second: float
    device: str
    attention: str


def describe_cost(plan: Plan, trial: Trial) -> str:
    """Disk space for the losses, and time, as lines of text."""
    n = sum(isinstance(w, Weights) for _, w in plan.selected)
    each = trial.n_tokens * trial.bytes_per_token
    return (
        f"losses: {trial.n_tokens:,} tokens of {trial.bytes_per_token:.1f} bytes: {_size(each)} "
        f"per checkpoint, {_size(n * each)} in all\n"
        f"time: about {_duration(n * trial.n_tokens / trial.tokens_per_second)} at "
        f"{trial.tokens_per_second:,.0f} tokens per second, measured on {trial.device} with "
        f"{trial.attention} attention; more if downloads are slower than that"
    )


def warnings(plan: Plan) -> list[str]:
    """Checkpoints without weights, what the audit finds, what equals the final model; and gaps."""
    return [
        *(str(w) for _, w in plan.selected if isinstance(w, CheckpointError)),
        *audit(_parts(plan)),
        *_equal_to_final(plan),
        *_gaps(plan.schedule),
    ]


def _parts(plan: Plan, tensors: bool = True) -> list[Parts]:
    """Tensors are compared where the files are on this machine."""
    return [
        Parts(
            c,
            w.sha256,
            dict(w.files),
            tensor_digests(c.path) if tensors else {},
            small=dict(w.small),
        )
        for c, w in plan.selected
        if isinstance(w, Weights)
    ]


def _equal_to_final(plan: Plan) -> Iterator[str]:
    if not plan.final or not plan.final[1].sha256:
        return
    for checkpoint, weights in plan.selected:
        if isinstance(weights, Weights) and weights.sha256 == plan.final[1].sha256:
            yield (
                f"{checkpoint.revision} has the weights of {plan.final[0]}: that is right only if "
                "it is the last step"
            )
            return


def _gaps(numbers: list[int]) -> Iterator[str]:
    """Spacings that are large compared with those before *and* after. A schedule that coarsens has
    none.

    The first spacing counts from 0. Nothing follows the last one, which is never a gap.
    """
    points = sorted({0, *numbers})
    spacings = [b - a for a, b in pairwise(points)]
    for i, spacing in enumerate(spacings[:-1]):
        before = spacings[max(i - _NEIGHBOURS, 0) : i] or [0]
        after = spacings[i + 1 : i + 1 + _NEIGHBOURS]
        if spacing > _GAP * max(median(before), median(after)):
            yield (
                f"there are no checkpoints between {points[i]:,} and {points[i + 1]:,}: look for "
                "them in the source, or expect a jump there"
            )


def _schedule(numbers: list[int]) -> str:
    """`from 0 to 100 by 10, to 2,000 by 50`; for an irregular schedule, the range of spacings."""
    spacings = [b - a for a, b in pairwise(numbers)]
    stretches: list[tuple[int, int]] = []  # a spacing, and the last checkpoint that has it
    for spacing, end in zip(spacings, numbers[1:], strict=True):
        if stretches and stretches[-1][0] == spacing:
            stretches[-1] = (spacing, end)
        else:
            stretches.append((spacing, end))
    if not stretches:
        return f"{numbers[0]:,} only"
    if len(stretches) > 6:
        return f"from {numbers[0]:,}, spaced {min(spacings):,} to {max(spacings):,}"
    return f"from {numbers[0]:,} " + ", ".join(f"to {end:,} by {by:,}" for by, end in stretches)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5_400 else f"{seconds / 3_600:,.1f} h"


def _size(n_bytes: float) -> str:
    """Decimal units, as the Hub counts."""
    power = min(max(len(str(int(n_bytes))) - 1, 0) // 3, len(_UNITS) - 1)
    value = n_bytes / 1_000**power
    return f"{value:,.0f} {_UNITS[power]}" if value >= 10 else f"{value:,.1f} {_UNITS[power]}"


def run_trial(source: str | Path, text: str | Path, options: RunOptions) -> Trial:
    """Score a part of the text for some seconds, and write a loss file to a temporary folder.

    For a folder, uses the first checkpoint that can be scored. For a repository, which is not
    downloaded, uses random weights in the shape of its configuration: the speed is the same.
    Raises IngestError for unusable input, and if no model can score the text.
    """
    from ingest.prepare import prepare
    from ingest.scoring import best_device

    opened = open_source(source, store=None)
    prepared = prepare(opened, text, options)
    device = options.device or best_device()
    model, speed = _scoring_model(opened, prepared, options, device)
    size = _bytes_per_token(prepared.corpus, model, options)
    return Trial(prepared.corpus.n_tokens, size, speed, device, prepared.manifest.attention)


def _scoring_model(
    source: Source, prepared: "PreparedRun", options: RunOptions, device: str
) -> "tuple[PreTrainedModel, float]":
    """The first model that scores, at the third attempt at most, and its tokens per second."""
    from ingest.scoring import failure_reason

    problem: CheckpointError | None = None
    for checkpoint, model in islice(_trial_models(source, prepared, options, device), _ATTEMPTS):
        try:
            return model, _speed(model, prepared.corpus, options)
        except Exception as error:  # a model's code may raise any class
            problem = CheckpointError(failure_reason(checkpoint, error))
    raise IngestError(f"there is no estimate of disk space and time, since {problem}") from problem


def _trial_models(
    source: Source, prepared: "PreparedRun", options: RunOptions, device: str
) -> "Iterator[tuple[Checkpoint, PreTrainedModel]]":
    """Those of a folder that can be loaded (`plan` warns about the others); else a random one."""
    from ingest.model.resident_model import ResidentModel
    from ingest.sources.prefetch import read_weights

    here = prepared.checkpoints if isinstance(source, Folder) else []
    for checkpoint in (c for c in here if not is_being_written(c.path)):
        resident = ResidentModel(
            options.dtype, device, options.attention, options.compile, options.trust_remote_code
        )
        try:
            model = resident.load(replace(read_weights(checkpoint), tensors=None))
        except CheckpointError:
            continue
        yield checkpoint, model
    yield prepared.checkpoints[0], _random_model(source, prepared, options, device)


def _random_model(
    source: Source, prepared: "PreparedRun", options: RunOptions, device: str
) -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM

    from ingest.model.configuration import first_config
    from ingest.model.resident_model import DTYPES

    with source.described(prepared.checkpoints) as described:
        config = first_config(described, options.trust_remote_code)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        config,
        dtype=DTYPES[options.dtype],
        attn_implementation=options.attention,
        trust_remote_code=options.trust_remote_code,
    )
    return model.eval().to(device)


def _speed(model: "PreTrainedModel", corpus: "Corpus", options: RunOptions) -> float:
    """Tokens per second, on windows from all over the text."""
    from ingest.model.batches import DeviceWindows

    spacing = max(len(corpus.windows) // _WINDOWS, 1)
    windows = DeviceWindows(corpus.windows[::spacing], model.device, corpus.first[::spacing])
    if model.device.type != "cpu":  # whose libraries choose and load code on first use
        _scored_in_time(model, windows, options)
    started = time.perf_counter()
    return _scored_in_time(model, windows, options) / (time.perf_counter() - started)


def _scored_in_time(model: "PreTrainedModel", windows: "DeviceWindows", options: RunOptions) -> int:
    """How many tokens were scored in some seconds."""
    from ingest.model.kernel import score, unscored
    from ingest.model.memory import Budget

    scores = unscored(windows, options.predictions)
    started, scored = time.perf_counter(), 0
    for n_rows in score(model, windows, scores, Budget(options.batch_tokens), options.precision):
        scored += n_rows
        if time.perf_counter() - started > _SECONDS:
            break
    scores[0, :1].cpu()  # waits for the device
    return scored


def _bytes_per_token(corpus: "Corpus", model: "PreTrainedModel", options: RunOptions) -> float:
    """From the first rows of the text. Losses are noise, which does not compress."""
    from ingest.output.outcomes import Outcome
    from ingest.output.tables import ROW_GROUP
    from ingest.output.writer import write_losses, write_predictions

    tokens = corpus.tokens.slice(0, ROW_GROUP)
    noise = np.random.default_rng(0).gamma(2.0, 1.5, tokens.num_rows).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        names = sorted(name for name, _ in model.named_parameters())
        samples = tuple((n, hashlib.sha256(n.encode()).hexdigest()[:16]) for n in names)
        outcome = Outcome(Checkpoint(1, "trial", Path(folder), 1, tensor_samples=samples))
        write_losses(layout, outcome, tokens, noise)
        size = layout.loss_file(1).stat().st_size
        if options.predictions:
            rank = np.floor(noise * 3) % model.config.get_text_config().vocab_size
            scores, texts = np.stack([rank, noise, rank, noise]), tokens["token_str"]
            write_predictions(layout, outcome, tokens, scores, texts.combine_chunks())
            size += layout.prediction_file(1).stat().st_size
        return size / len(noise)
