"""Every number that README states about the demo is computed again from the bundled store."""

import re
from pathlib import Path

import pytest

from queries import Store, events, mechanism, position_slope

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"[\d,]*\d(?:\.\d+)?")
GROUPS = {
    "inside words": "not is_word_start",
    "word starts": "is_word_start",
    "copyable": "trigram_seen_before > 0",
    "others": "trigram_seen_before = 0",
    "all": "true",
}


@pytest.fixture(scope="module")
def demo() -> Store:
    return Store(ROOT / "data" / "demo")


@pytest.fixture(scope="module")
def claims() -> dict[str, str]:
    """Bold heading -> text, in README's section on the demo."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## What the demo shows")[1].split("[data/README.md]")[0]
    parts = re.findall(r"- \*\*(.+?):\*\*(.*?)(?=\n- |\Z)", section, re.DOTALL)
    return {heading: " ".join(text.split()) for heading, text in parts}


def numbers(text: str) -> list[str]:
    return NUMBER.findall(text)


def mean_losses(store: Store, group: str, *steps: int) -> list[str]:
    found = store.trajectories({group: GROUPS[group]}).set_index("checkpoint")["mean_loss"]
    return [f"{found[step]:.2f}" for step in steps]


def test_words_before_word_starts(demo: Store, claims: dict[str, str]) -> None:
    expected = [
        *mean_losses(demo, "inside words", 400, 700),
        *mean_losses(demo, "word starts", 400, 700),
    ]
    assert numbers(claims["Steps 400 to 700"]) == expected


def test_copying(demo: Store, claims: dict[str, str]) -> None:
    text = claims["Steps 1,440 to 2,000"]
    expected = [
        *mean_losses(demo, "copyable", 1440, 2000),
        *mean_losses(demo, "others", 1440, 2000),
        "1,300",
    ]
    assert numbers(text) == expected
    scores = demo.sql(
        "select checkpoint, layer, head, value from probes where probe = 'prefix_matching'"
    )
    last = scores[scores["checkpoint"] == 3000]
    assert (last["value"] > 0.15).sum() == 1
    assert len(last) == 8
    head = last.iloc[int(last["value"].argmax())]
    curve = scores[(scores["layer"] == head["layer"]) & (scores["head"] == head["head"])]
    early = curve[curve["checkpoint"] <= 1300]["value"]
    assert early.max() < 0.25 * last["value"].max()
    assert "too noisy to tell" in text
    leads = mechanism(demo, GROUPS["copyable"], between=(1000, 2400)).leads
    lead = leads[leads["probe"] == f"prefix_matching_layer_{int(head['layer'])}"].iloc[0]
    assert lead["verdict"].startswith("cannot tell")


def test_the_spike(demo: Store, claims: dict[str, str]) -> None:
    change = demo.zoom(1380, 1640).changes["change"]
    (spike,) = [e for e in events(demo, "true").frame.to_dict("records") if e["kind"] == "spike"]
    assert (spike["first"], spike["peak"]) == (1380, 1640)
    expected = [
        f"{change.mean():.2f}",
        f"{(change > 0).mean():.0%}".rstrip("%"),
        f"{(change < 0).mean():.0%}".rstrip("%"),
        f"{spike['p_value']:.3f}",
    ]
    assert numbers(claims["Steps 1,380 to 1,640"]) == expected


def test_position(demo: Store, claims: dict[str, str]) -> None:
    difference = demo.difference("position = 500", "position = 50")
    assert ((difference["low"] <= 0) & (difference["high"] >= 0)).all()
    n_tokens = demo.trajectories({"50th": "position = 50", "500th": "position = 500"})["n_tokens"]
    assert set(n_tokens) == {100}
    last, slope = difference.iloc[-1], position_slope(demo).frame.iloc[-1]
    assert slope["low"] > 0
    assert numbers(claims["Position"]) == [
        "500",
        "50",
        str(len(difference)),
        "100",
        "95",
        f"{(last['high'] - last['low']) / 2:.2f}",
        "3,000",
        f"{slope['slope']:.3f}",
        "95",
        *(f"{slope[name]:.3f}" for name in ("low", "high")),
    ]
