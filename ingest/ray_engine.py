"""Score checkpoints on Ray: an actor per GPU or core; what an actor dies of is tried again."""

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

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from ingest.errors import CheckpointError, IngestError, first_line
from ingest.output.writer import Outcome
from ingest.prepare import Options, Plan
from ingest.probes.probe_file import ProbeFile
from ingest.scoring import Background, Record, background, keeping, new_bench, score_one
from ingest.sources.checkpoints import Checkpoint
from ingest.sources.folder import Source
from ingest.sources.prefetch import Arrival, read
from ingest.text.corpus import Corpus
from store import schema
from store.layout import Layout

_DEATHS = 3  # of the actors that score one checkpoint, before it is the checkpoint's fault
_Result = tuple[Outcome, np.ndarray | None]


def score_on_ray(
    layout: Layout,
    plan: Plan,
    todo: list[Checkpoint],
    source: Source,
    options: Options,
    record: Record,
    _probes: ProbeFile | None = None,
) -> Iterator[Outcome]:
    """The outcome of each checkpoint of `todo`, in the order in which they end; see scoring.score.

    Actors fetch and score, on whatever machine they are; all files are written here. Probes are
    left to who asked for them: they are taken afterwards, on this machine. Raises IngestError where
    Ray is not installed or cannot be reached, OSError as scoring does.
    """
    tokens = pq.read_table(layout.tokens, columns=schema.REPEATED).combine_chunks()
    progress: tqdm[Any]
    with (
        _session(),
        tqdm(total=len(todo), unit="checkpoint", disable=not todo) as progress,
        background("write") as writing,
    ):
        for outcome, losses in _Crew(plan.corpus, source, options, todo).results():
            if losses is None:
                progress.write(f"failed: {outcome.error}")
            writing.start(keeping(layout, tokens, outcome, losses, record))
            progress.update()
            yield outcome


class Scorer:
    """The actor: fetches the checkpoint that comes next while it scores one."""

    def __init__(self, corpus: Corpus, source: Source, options: Options) -> None:
        nothing = Background(ThreadPoolExecutor(1))
        self._bench = new_bench(corpus, options, nothing, tqdm(disable=True))
        self._source = source
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._coming: dict[Checkpoint, Future[Arrival]] = {}

    def score(self, checkpoint: Checkpoint, following: Checkpoint | None) -> _Result:
        """Outcome and losses float32 (tokens,), or an outcome with an error and None."""
        coming = self._fetched(checkpoint)
        if following:
            self._coming[following] = self._fetched(following)
        arrival = coming.result()
        result = score_one(arrival, self._bench)
        self._source.free(arrival.checkpoint)
        return result

    def _fetched(self, checkpoint: Checkpoint) -> Future[Arrival]:
        return self._coming.pop(checkpoint, None) or self._fetcher.submit(self._fetch, checkpoint)

    def _fetch(self, checkpoint: Checkpoint) -> Arrival:
        try:
            return read(self._source.fetch(checkpoint))
        except CheckpointError as error:
            return Arrival(checkpoint, problem=error)


@dataclass(frozen=True)
class _Task:
    """What an actor does now, and what it fetches meanwhile."""

    actor: Any
    current: Checkpoint
    following: Checkpoint | None


class _Crew:
    """The actors, what each does and what comes next for it."""

    def __init__(
        self, corpus: Corpus, source: Source, options: Options, todo: list[Checkpoint]
    ) -> None:
        import ray

        cluster = ray.cluster_resources()
        gpus = 0 if options.device == "cpu" else int(cluster.get("GPU", 0))
        self.size = min(gpus or max(int(cluster.get("CPU", 1)), 1), len(todo))
        share = {"num_cpus": 0, "num_gpus": 1} if gpus else {"num_cpus": 1}
        self._actor = ray.remote(**share)(Scorer)
        light = replace(
            corpus, docs=corpus.docs.select(["doc"]), tokens=corpus.tokens.select(["row"])
        )
        self._arguments = (ray.put(light), source, options)
        self._rest = deque(todo)
        self._deaths: Counter[Checkpoint] = Counter()
        self._going: dict[Any, _Task] = {}

    def results(self) -> Iterator[_Result]:
        """Of each checkpoint, as it ends."""
        import ray
        from ray.exceptions import RayActorError

        for _ in range(self.size):
            self._start(self._new(), None)
        while self._going:
            (ended,), _ = ray.wait(list(self._going))
            task = self._going.pop(ended)
            try:
                result = ray.get(ended)
            except RayActorError as error:
                if failed := self._after_death(task, error):
                    yield failed, None
                continue
            self._start(task.actor, task.following)
            yield result

    def _start(self, actor: Any, checkpoint: Checkpoint | None) -> None:
        """Give an actor this checkpoint, else the next one of all, if there is any."""
        current = checkpoint or (self._rest.popleft() if self._rest else None)
        if current is None:
            return
        # The last ones go to whoever is free first.
        following = self._rest.popleft() if len(self._rest) >= self.size else None
        ended = actor.score.remote(current, following)
        self._going[ended] = _Task(actor, current, following)

    def _after_death(self, task: _Task, error: Exception) -> Outcome | None:
        """Another actor tries the same again, or it has failed, and goes on with the next."""
        if task.following:
            self._rest.appendleft(task.following)
        self._deaths[task.current] += 1
        again = self._deaths[task.current] < _DEATHS
        if again or self._rest:
            self._start(self._new(), task.current if again else None)
        return None if again else Outcome(task.current, error=_died(task.current, error))

    def _new(self) -> Any:
        return self._actor.remote(*self._arguments)


def _died(checkpoint: Checkpoint, error: Exception) -> str:
    return (
        f"{checkpoint.revision} has ended {_DEATHS} actors that scored it ({first_line(error)}): "
        "its memory may not suffice; lower --batch-tokens, or score it by --engine local"
    )


@contextmanager
def _session() -> Iterator[None]:
    """Ray as it runs or as RAY_ADDRESS names it, else one of this machine until the end."""
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
            "leave --engine ray out"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray's own would end us without a word
    try:
        yield
    finally:
        with suppress(Exception):  # what was to be told has been told
            ray.shutdown()
