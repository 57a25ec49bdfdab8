"""The report finds what was planted, claims nothing else, and agrees with plain SQL."""

import html
import json
import re
import socket
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from queries import Store, position_slope
from queries.__main__ import main
from queries.report import report, to_html, to_table
from queries.report.model import Report, Section
from queries.report.numbers import MINUS, number, share, signed, step
from store.layout import Layout
from tests.queries.conftest import DEMO
from tests.queries.support import reported
from tests.queries.support.stores import add_checkpoint, build_store

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp; ${title} $$"


@pytest.fixture(scope="module")
def demo_report(demo: Store) -> Report:
    return report(demo)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which no group differs and no spike happens."""
    return reported.made_up(tmp_path_factory.mktemp("null") / "run")


def section(found: Report, key: str) -> Section:
    return next(s for s in found.sections if s.key == key)


def told(found: Report, key: str) -> str:
    return " ".join(section(found, key).seen)


def test_a_planted_position_effect_is_found_and_described(tmp_path: Path) -> None:
    store = reported.made_up(tmp_path / "run", reported.position_effect)
    found = section(report(store), "position")
    assert 150 <= found.numbers["first_told_apart"] <= 170
    assert found.numbers["last_difference"] == pytest.approx(-1.5, abs=0.4)
    assert found.numbers["last_high"] < 0
    last = store.difference("position = 500", "position = 50")["difference"].iloc[-1]
    seen = " ".join(found.seen)
    assert f"500th tokens are predicted {number(-last)} nats better than the 50th tokens" in seen
    assert f"First distinguishable at step {found.numbers['first_told_apart']}" in seen
    assert not found.missing


def test_the_surname_and_the_token_after_it_are_two_questions(tmp_path: Path) -> None:
    store = reported.made_up(tmp_path / "run", reported.after_surnames, sources=40)
    found = report(store)
    own, after = section(found, "surnames"), section(found, "surnamesb")
    assert own.groups[0].n_tokens == (store.facts["word"] == "Obama").sum()
    assert own.numbers["first_told_apart"] is None
    assert 100 <= after.numbers["first_told_apart"] <= 120
    assert after.numbers["last_difference"] == pytest.approx(-2, abs=0.3)
    assert "Compared with tokens of similar frequency" in " ".join(after.seen)
    # With so many tokens of the six, all presidents' surnames are not needed.
    assert "surnamesc" not in {s.key for s in found.sections}


def test_nothing_is_claimed_without_an_effect(nothing: Store) -> None:
    found = report(nothing)
    for key in ("position", "words", "wordsb"):
        seen = told(found, key)
        assert (
            "Statistically indistinguishable" in seen
            and f"all {reported.STEPS} checkpoints contains zero" in seen
        )
        assert "First distinguishable" not in seen and "gain fastest" not in seen
        assert any(
            "statistically indistinguishable" in line for line in section(found, key).missing
        )
    assert "No spike" in told(found, "region")
    assert any("No spike" in line for line in found.missing)
    assert any("This store has no probes" in line for line in found.missing)


def test_a_planted_spike_is_found(tmp_path: Path) -> None:
    store = reported.made_up(tmp_path / "run", reported.spike)
    found = report(store)
    region, after = section(found, "region"), section(found, "after")
    assert region.numbers["kind"] == "spike"
    assert region.numbers["last"] == 200 and 150 <= region.numbers["first"] <= 170
    assert after.numbers["first"] == 210 and 220 <= after.numbers["last"] <= 250
    change = store.zoom(region.numbers["first"], 200).changes["change"]
    assert f"{share((change > 0).mean(), 1)} of {len(change):,} tokens get worse" in told(
        found, "region"
    )
    assert (change > 0).mean() == pytest.approx(0.9, abs=0.03)
    assert [e.number for e in (*region.exhibits, *after.exhibits)] == ["7", "8", "9", "10"]


def test_the_demos_numbers_are_those_of_plain_sql(demo_report: Report) -> None:
    losses = f"'{DEMO}/losses/*.parquet'"
    score = duckdb.sql(
        "select avg(loss) filter (position = 500) - avg(loss) filter (position = 50) "
        f"from {losses} where checkpoint = 3000"
    ).fetchall()[0][0]
    assert score > 0
    assert f"{signed(score)[1:]} nats worse than the 50th tokens" in told(demo_report, "position")
    assert "Statistically indistinguishable" in told(demo_report, "position")
    words = duckdb.sql(
        "select checkpoint, avg(loss) filter (not is_word_start) - avg(loss) filter (is_word_start)"
        f" from {losses} group by all order by 1"
    ).fetchall()
    assert f"{number(-words[-1][1])} nats better than the word starts" in told(demo_report, "words")
    changes = duckdb.sql(f"""
        with wide as (
            select doc, "position", max(loss) filter (checkpoint = 1640)
                - max(loss) filter (checkpoint = 1380) as change
            from {losses} where checkpoint in (1380, 1640) group by all)
        select avg((change > 0)::int), avg(change), median(change), count(*) from wide""")
    rose, mean, median, n = changes.fetchall()[0]
    seen = told(demo_report, "region")
    assert f"From step 1,380 to 1,640, {share(rose, 1)} of {n:,} tokens get worse" in seen
    assert f"the mean change is {signed(mean)} nats, the median {signed(median)}" in seen


def test_the_demo_spike_and_its_overlap(demo: Store, demo_report: Report) -> None:
    region, after = section(demo_report, "region"), section(demo_report, "after")
    assert (region.numbers["first"], region.numbers["last"]) == (1380, 1640)
    assert (after.numbers["first"], after.numbers["last"]) == (1660, 2300)
    rose = demo.zoom(1380, 1640).increased["row"].unique()
    fell = demo.zoom(1660, 2300).decreased["row"].unique()
    shared = len(np.intersect1d(rose, fell))
    assert after.numbers["increased_then_decreased"] == shared == 10
    assert "10 are among the 50 that decreased most" in told(demo_report, "after")


def test_what_could_have_been_seen_is_said(demo: Store, demo_report: Report) -> None:
    slope = position_slope(demo).frame.iloc[-1]
    band = f"{signed(slope['low'], 3)} to {signed(slope['high'], 3)}"
    seen = told(demo_report, "position")
    assert "nats would usually not be detected here" in seen
    assert slope["low"] > 0
    assert (
        f"{signed(slope['slope'], 3)} nats per doubling of the position (95% band {band}, which "
        "excludes zero)" in seen
    )
    assert f"would be {signed(slope['slope'] * np.log2(10))} nats, too little for" in seen
    assert "In 22 pairs of regions with the same widths and gap" in told(demo_report, "after")


def test_what_the_demo_does_not_show_is_said(demo_report: Report) -> None:
    missing = " ".join(demo_report.missing)
    for fact in (
        "500th tokens are statistically indistinguishable",
        "no tokens of the six surnames",
        "one group has 2 source documents, at least 6 are needed",
        "one run",
        "store has probes",
    ):
        assert fact in missing
    assert "None of the six surnames occurs" in told(demo_report, "surnames")
    assert not any(s.compared for s in demo_report.sections)


def test_all_ten_figures_and_their_numbers(demo: Store, demo_report: Report) -> None:
    numbers = {e.number for e in demo_report.exhibits}
    # The demo's text has none of the six surnames: 5c and 6c are of all presidents.
    assert {"1", "2", "3", "4", "5c", "6c", "7", "8", "9", "10"} <= numbers
    for first, frame in ((e, e.frame) for e in demo_report.exhibits if e.kind == "means"):
        assert {"checkpoint", "token_group", "mean_loss", "low", "high"} <= set(frame), first.number
    words = next(e for e in demo_report.exhibits if e.number == "4").frame
    theirs = demo.difference("not is_word_start", "is_word_start")
    for column in ("difference", "low", "high"):
        np.testing.assert_allclose(words[column], theirs[column], atol=1e-9)


def test_a_store_of_the_reports_own_run_is_compared(tmp_path: Path) -> None:
    store = reported.made_up(tmp_path / "run", reported.spike)
    assert not any(s.compared for s in report(store).sections)
    _rewrite(tmp_path / "run", model="stanford-crfm/battlestar-gpt2-small-x49")
    found = report(Store(tmp_path / "run"))
    assert f"ends at about {MINUS}2.1 nats" in " ".join(section(found, "position").compared)
    assert "does not overlap" in " ".join(section(found, "region").compared)
    assert "the report's lists share 38" in " ".join(section(found, "after").compared)
    assert "WikiText-2" in " ".join(section(found, "words").compared)


@pytest.mark.parametrize("steps", [(4,), (4, 8), (0, 10, 20)])
def test_few_checkpoints(
    tmp_path: Path, steps: tuple[int, int, int] | tuple[int, int] | tuple[int]
) -> None:
    store = Store(build_store(tmp_path / "run", steps=steps))
    found = report(store)
    assert to_html(found)
    if len(steps) == 1:
        assert "one checkpoint" in told(found, "region") and not section(found, "region").exhibits
    else:
        assert "are too few to separate a spike from noise" in told(found, "region")


@pytest.mark.parametrize("sources", [1, 2, 7])
def test_few_documents(tmp_path: Path, sources: int) -> None:
    found = report(Store(build_store(tmp_path / "run", sources=sources)))
    assert any("source document" in line for line in found.missing)
    assert ("No claim can be made" in told(found, "words")) == (sources < 6)
    assert ("effective source documents" in told(found, "words")) == (sources >= 6)
    assert to_html(found)


def test_a_store_of_one_token(tmp_path: Path) -> None:
    root = build_store(tmp_path / "run", sources=1, longest=1)
    assert to_html(report(Store(root)))


def test_a_run_that_only_falls(tmp_path: Path) -> None:
    root = build_store(tmp_path / "run", steps=())
    n = pq.read_metadata(Layout(root).tokens).num_rows
    for at in range(5):
        add_checkpoint(root, at, np.full(n, 9.0 - at))
    found = report(Store(root))
    assert "never rises" in told(found, "region") and "No token rose" in told(found, "region")
    assert "there is no later region" in told(found, "after").lower()
    assert to_html(found)


class Tags(HTMLParser):
    """The tags of a page and where its attributes point."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.events: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]
        self.links += [v or "" for name, v in attrs if name in ("href", "src", "xlink:href")]


def test_hostile_names_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = build_store(tmp_path / "run", sources=8, steps=(0, 10, 20, 30))
    _rewrite(root, model=HOSTILE, text=HOSTILE, tokenizer=HOSTILE, bos=HOSTILE)
    for path, column in ((Layout(root).tokens, "token_str"), (Layout(root).docs, "source")):
        table = pq.read_table(path)
        frame = table.to_pandas()
        frame[column] = frame[column] + HOSTILE
        pq.write_table(type(table).from_pandas(frame, table.schema, preserve_index=False), path)

    def refuse(*_: object) -> None:
        raise AssertionError("the report went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    page = to_html(report(Store(root)))
    found = Tags(page)
    assert not found.tags & {"script", "img", "iframe", "object", "link", "base"}
    assert not found.events
    assert all(link.startswith("#") for link in found.links)
    assert html.escape(HOSTILE) in page  # it is there, as text
    assert not re.search(r"(?:src|href)=.?(?:https?:)?//|url\(\s*['\"]?http|@import", page)


def test_every_link_of_the_contents_leads_somewhere(demo_report: Report) -> None:
    page = to_html(demo_report)
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert {"store", "missing", "position", "after"} <= links <= ids
    assert page.count("<svg") == len(demo_report.exhibits) == page.count("The SQL behind it")


def test_the_command_writes_the_page_and_the_table(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.html"
    assert main(["report", str(folder), "--html", str(out)]) == 0
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert str(out) in capsys.readouterr().out
    assert main(["report", str(folder), "--format", "json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["section"] for line in lines] == [s.key for s in report(Store(folder)).sections]
    assert main(["report", str(folder), "--html", str(tmp_path / "no" / "out.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_table_has_a_row_per_question(demo_report: Report) -> None:
    table = to_table(demo_report)
    assert isinstance(table, pd.DataFrame) and len(table) == len(demo_report.sections)
    assert str(table["first_told_apart"].dtype) == "Int64"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123, "+0.12"),
        (-0.123, f"{MINUS}0.12"),
        (0.0, "0.00"),
        (0.004, "+0.004"),
        (-0.00001, "0.0000"),
    ],
)
def test_signed(value: float, text: str) -> None:
    assert signed(value) == text


def test_words() -> None:
    assert step(4000) == "4,000"
    assert (share(0.573), share(0.573, 1), share(0.0046), share(1.0), share(0.9954)) == (
        "57%",
        "57.3%",
        "0.46%",
        "100%",
        "99.54%",
    )


def _rewrite(root: Path, **values: str) -> None:
    path = Layout(root).manifest
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
