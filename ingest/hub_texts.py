"""Texts on the Hub, read row by row through `datasets`: WikiText's articles, or any data set."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ingest.errors import IngestError, first_line
from ingest.texts import SourceDocument, from_row

WIKITEXT = {"wikitext-2": "wikitext-2-raw-v1", "wikitext-103": "wikitext-103-raw-v1"}
SPLIT = "test"  # what language models are compared on
# Columns that name a row; "source", elsewhere a document's name, is here a collection's.
_NAMES = ("id", "title")


@dataclass(frozen=True)
class Dataset:
    """One split of a data set; without a configuration, its only or default one."""

    repo_id: str
    config: str | None
    split: str
    commit: str | None = None

    @property
    def name(self) -> str:
        return ":".join([self.repo_id, self.config or "", self.split])

    @property
    def is_wikitext(self) -> bool:
        return self.repo_id == "Salesforce/wikitext"


def named_dataset(name: str, split: str | None) -> Dataset | None:
    """The data set that `wikitext-2`, `wikitext-103` or `hf:REPO:CONFIG:SPLIT` names, else None.

    Raises IngestError where the name is of no such form, or names another split than `split`.
    """
    if name in WIKITEXT:
        return Dataset("Salesforce/wikitext", WIKITEXT[name], split or SPLIT)
    if not name.startswith("hf:"):
        return None
    repo, config, own_split = [*name.removeprefix("hf:").split(":"), "", ""][:3]
    if name.count(":") > 3 or not repo:
        raise IngestError(f"--text {name} is not of the form hf:REPO:CONFIG:SPLIT: correct it")
    if own_split and split and own_split != split:
        raise IngestError(f"--text {name} and --split {split} name two splits: give one of them")
    return Dataset(repo, config or None, own_split or split or SPLIT)


def resolved(dataset: Dataset) -> Dataset:
    """With the commit that its repository is at. Raises IngestError where the Hub has none."""
    from ingest.hub import dataset_commit

    return replace(dataset, commit=dataset_commit(dataset.repo_id))


def read_dataset(dataset: Dataset, column: str) -> Iterator[SourceDocument]:
    """Its documents in order, each as it is asked for: WikiText's articles, else one of each row.

    Raises IngestError where the Hub does not give them, and for a missing column.
    """
    rows = _rows(dataset)
    if dataset.is_wikitext:
        yield from articles(str(row["text"]) for row in rows)
        return
    for number, row in enumerate(rows):
        yield from_row(row, f"{dataset.split}:{number}", dataset.name, column, _NAMES)


def articles(lines: Iterable[str]) -> Iterator[SourceDocument]:
    """WikiText's lines -> its articles, named by their titles.

    The rule of `EleutherAI/wikitext_document_level`, which lm-evaluation-harness scores: a heading
    of the first level opens an article. Blank lines are `" "` in the published text, and `""` among
    the rows of the data set. A title that comes again gets a number, as it is another article.
    """
    seen: Counter[str] = Counter()
    title: str | None = None
    article: list[str] = []
    for line in lines:
        text = line.removesuffix("\n") or " "
        if opened := _title(text):
            yield from _article(title, article, seen)
            title, article = opened, []
        article.append(text)
    yield from _article(title, article, seen)


def _title(line: str) -> str | None:
    heading = line.replace("= = =", "===").replace("= =", "==").strip()
    is_title = heading.startswith("= ") and heading.endswith(" =")
    return line.strip()[2:-2].strip() or heading if is_title else None


def _article(title: str | None, lines: list[str], seen: Counter[str]) -> Iterator[SourceDocument]:
    text = "\n".join(lines)
    if not text.strip():
        return
    name = title or "before the first title"
    seen[name] += 1
    yield SourceDocument(name if seen[name] == 1 else f"{name} ({seen[name]})", text)


def _rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    from datasets import disable_progress_bars, load_dataset  # two seconds to load

    from ingest.retries import patiently

    disable_progress_bars()
    load = partial(load_dataset, dataset.repo_id, dataset.config, split=dataset.split,
                   streaming=True, revision=dataset.commit)  # fmt: skip
    try:
        yield from patiently(load)  # reading itself is tried again by `datasets`
    except Exception as error:  # any library error: no such configuration, split or file
        raise IngestError(
            f"{dataset.name} cannot be read ({first_line(error)}): expected "
            "hf:REPO:CONFIG:SPLIT with a configuration and a split that the data set has; where "
            "the Hub was at fault, run the same command again later"
        ) from error
