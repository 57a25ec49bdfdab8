"""Score checkpoints on Ray: one actor per GPU or core. If an actor dies, another one retries."""

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from ingest.errors import CheckpointError, IngestError, first_line
from ingest.model.tokenizer_check import TokenizerCheck
from ingest.options import RunOptions
from ingest.output.outcomes import Outcome
from ingest.prepare import PreparedRun
from ingest.probes.probe_file import ProbeFile
from ingest.scoring import Record, Scored, Scorer, background_task, best_device, write_task
from ingest.sources.prefetch import FetchedCheckpoint, is_asynchronous, pin, read_weights
from ingest.sources.revisions import Checkpoint
from ingest.sources.source import Source
from ingest.text.corpus import Corpus
from store import schema
from store.layout import Layout

_MAX_DEATHS = 3  # of actors that score one checkpoint, before the checkpoint is to blame


def score_on_ray(
    layout: Layout,
    prepared: PreparedRun,
    todo: list[Checkpoint],
    source: Source,
    options: RunOptions,
    record: Record,
    _probes: ProbeFile | None = None,
) -> Iterator[Outcome]:
    """The outcome of each checkpoint of `todo`, in the order in which they end.

    Actors fetch and score, on any machine of the cluster; all files are written by this process.
    Does not probe: the caller does so afterwards. Raises IngestError if Ray is not installed or
    cannot be reached, and OSError as score_checkpoints does.
    """
    tokens = pq.read_table(layout.tokens, columns=schema.REPEATED).combine_chunks()
    progress: tqdm[Any]
    with (
        _session(),
        tqdm(total=len(todo), unit="checkpoint", disable=not todo) as progress,
        background_task("write") as writing,
    ):
        for outcome, scores in _Pool(prepared, source, options, todo).results():
            if scores is None:
                progress.write(f"failed: {outcome.error}")
            writing.start(write_task(layout, prepared, tokens, outcome, scores, record))
            progress.update()
            yield outcome


class RayScorer:
    """The actor. It fetches the checkpoint that it gets next while it scores one."""

    def __init__(
        self,
        corpus: Corpus,
        source: Source,
        options: RunOptions,
        tokenizer: TokenizerCheck | None = None,
    ) -> None:
        self._scorer = Scorer(corpus, options, tqdm(disable=True), tokenizer=tokenizer)
        self._source, self._pinned = source, is_asynchronous(options.device or best_device())
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._fetching: dict[Checkpoint, Future[FetchedCheckpoint]] = {}

    def score(self, checkpoint: Checkpoint, following: Checkpoint | None) -> Scored:
        """Score the checkpoint, and start to fetch the following one."""
        current = self._start_fetching(checkpoint)
        if following:
            self._fetching[following] = self._start_fetching(following)
        fetched = current.result()
        result = self._scorer.score(fetched)
        self._source.free(fetched.checkpoint)
        return result

    def _start_fetching(self, checkpoint: Checkpoint) -> Future[FetchedCheckpoint]:
        started = self._fetching.pop(checkpoint, None)
        return started or self._fetcher.submit(self._fetch, checkpoint)

    def _fetch(self, checkpoint: Checkpoint) -> FetchedCheckpoint:
        try:
            fetched = read_weights(self._source.fetch(checkpoint))
            return pin(fetched) if self._pinned else fetched
        except CheckpointError as error:
            return FetchedCheckpoint(checkpoint, problem=error)


@dataclass(frozen=True)
class _Task:
    """What an actor scores, and what it fetches at the same time."""

    actor: Any
    current: Checkpoint
    following: Checkpoint | None


class _Pool:
    """The actors, what each is doing, and what is left to do."""

    def __init__(
        self, prepared: PreparedRun, source: Source, options: RunOptions, todo: list[Checkpoint]
    ) -> None:
        import ray

        cluster = ray.cluster_resources()
        gpus = 0 if options.device == "cpu" else int(cluster.get("GPU", 0))
        self.size = min(gpus or max(int(cluster.get("CPU", 1)), 1), len(todo))
        share = {"num_cpus": 0, "num_gpus": 1} if gpus else {"num_cpus": 1}
        self._actor = ray.remote(**share)(RayScorer)
        corpus = prepared.corpus
        light = replace(
            corpus, docs=corpus.docs.select(["doc"]), tokens=corpus.tokens.select(["row"])
        )
        check = ray.put(prepared.tokenizer_check)
        self._arguments = (ray.put(light), source, options, check)
        self._todo = deque(todo)
        self._deaths: Counter[Checkpoint] = Counter()
        self._running: dict[Any, _Task] = {}

    def results(self) -> Iterator[Scored]:
        """The result of each checkpoint, as it ends."""
        import ray
        from ray.exceptions import RayActorError

        for _ in range(self.size):
            self._start(self._new_actor(), None)
        while self._running:
            (ended,), _ = ray.wait(list(self._running))
            task = self._running.pop(ended)
            try:
                result = ray.get(ended)
            except RayActorError as error:
                if failed := self._after_death(task, error):
                    yield failed, None
                continue
            self._start(task.actor, task.following)
            yield result

    def _start(self, actor: Any, checkpoint: Checkpoint | None) -> None:
        """Give an actor this checkpoint, or else the next one that is left, if any."""
        current = checkpoint or (self._todo.popleft() if self._todo else None)
        if current is None:
            return
        # The last ones go to whichever actor is free first.
        following = self._todo.popleft() if len(self._todo) >= self.size else None
        ended = actor.score.remote(current, following)
        self._running[ended] = _Task(actor, current, following)

    def _after_death(self, task: _Task, error: Exception) -> Outcome | None:
        """Retry with a new actor; or give up on the checkpoint, and continue with the next."""
        if task.following:
            self._todo.appendleft(task.following)
        self._deaths[task.current] += 1
        retry = self._deaths[task.current] < _MAX_DEATHS
        if retry or self._todo:
            self._start(self._new_actor(), task.current if retry else None)
        return None if retry else Outcome(task.current, error=_died(task.current, error))

    def _new_actor(self) -> Any:
        return self._actor.remote(*self._arguments)


def _died(checkpoint: Checkpoint, error: Exception) -> str:
    return (
        f"{checkpoint.revision} made {_MAX_DEATHS} actors die that scored it "
        f"({first_line(error)}): memory may be insufficient; lower --batch-tokens, or use --engine "
        "local"
    )


@contextmanager
def _session() -> Iterator[None]:
    """The running Ray, or the one that RAY_ADDRESS names, or else one on this machine until the
    end."""
    try:
        import ray
    except ImportError as error:
        raise IngestError(
            "--engine ray needs Ray: `pip install -r requirements-cluster.lock`"
        ) from error
    if ray.is_initialized():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    ours = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    paths = os.pathsep.join(p for p in ours if p)
    try:
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": paths}},
        )
    except Exception as error:  # any library error: no cluster at the address, a port taken
        raise IngestError(
            f"Ray cannot be started or reached ({first_line(error)}): correct RAY_ADDRESS, or "
            "omit --engine ray"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray's own handler would end the run silently
    try:
        yield
    finally:
        with suppress(Exception):  # all results are here already
            ray.shutdown()
