"""Every family's names give step, stage, variant and tokens; and names become numbers."""

from pathlib import Path
from typing import Any

import pytest

from ingest.errors import IngestError
from ingest.sources.revisions import (
    Naming,
    ParsedName,
    Revision,
    number_checkpoints,
    parse_revision,
    tokens_per_step,
)

BILLION = 10**9


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("checkpoint-400000", ParsedName(400_000)),  # Mistral, Parc, the Trainer
        ("step0", ParsedName(0)),  # Pythia
        ("step143000", ParsedName(143_000)),
        ("step0050000", ParsedName(50_000)),  # Lucie
        ("step20000-tokens84B", ParsedName(20_000, tokens=84 * BILLION)),  # OLMo 1
        ("stage1-step928646-tokens3896B", ParsedName(928_646, 1, tokens=3_896 * BILLION)),  # OLMo 2
        (
            "stage2-ingredient3-step11931-tokens50B",
            ParsedName(11_931, 2, "ingredient3", 50 * BILLION),
        ),
        ("stage1-step1413814", ParsedName(1_413_814, 1)),  # OLMo 3
        ("global_step1000", ParsedName(1_000)),  # BLOOM
        ("ckpt_000", ParsedName(0)),  # Amber
        ("ckpt_358", ParsedName(358)),
        ("step-125000", ParsedName(125_000)),  # SmolLM2
        ("stage3-step-4720000", ParsedName(4_720_000, 3)),  # SmolLM3
        ("step1250-seed-default", ParsedName(1_250, variant="seed-default")),  # DataDecide
        ("step5-seed-small-aux-2", ParsedName(5, variant="seed-small-aux-2")),
        ("step-001000-2BT", ParsedName(1_000, tokens=2 * BILLION)),  # FineWeb ablations
        ("64000", ParsedName(64_000)),  # B-GPT
    ],
)
def test_names_of_every_family(name: str, expected: ParsedName) -> None:
    assert parse_revision(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        *("main", "fp32", "refs/pr/1", "v1.0", "v2", "step", "step9" * 5, "seed1", "8bit", ""),
        *("checkpoint-1-extra", "step-5-tokens", "step12\n", "checkpoint--5", "xstep5"),
    ],
)
def test_other_names_are_no_checkpoints(name: str) -> None:
    assert parse_revision(name) is None


def test_a_pattern_of_ones_own_replaces_the_families() -> None:
    pattern = r"run7_(?:s(?P<stage>\d)_)?it(?P<step>\d+)(?:_(?P<tokens>\d+M?))?"
    assert parse_revision("run7_it5", pattern) == ParsedName(5)
    assert parse_revision("run7_s2_it5_30M", pattern) == ParsedName(5, 2, tokens=30_000_000)
    assert parse_revision("run7_it5_77", pattern) == ParsedName(5, tokens=77)
    assert parse_revision("checkpoint-5", pattern) is None


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(", "is not a regular expression"),
        (r"step(\d+)", "has no group named step: .*write, for example"),
        (r"(?P<step>.+)", "finds 'checkpoint-5' in 'checkpoint-5': expected a whole number"),
    ],
)
def test_an_unusable_pattern_gets_a_sentence(pattern: str, sentence: str) -> None:
    with pytest.raises(IngestError, match=sentence):
        parse_revision("checkpoint-5", pattern)


def test_tokens_per_step_are_known_where_the_family_fixes_them() -> None:
    assert tokens_per_step("stanford-crfm/battlestar-gpt2-small-x49") == 524_288
    assert tokens_per_step("EleutherAI/pythia-14m-deduped-seed3") == 2_097_152
    assert tokens_per_step("stanford-crfm/arwen-gpt2-medium-x21") is None
    assert tokens_per_step("someone/EleutherAI") is None


def numbered(*names: str, **naming: Any) -> list[tuple[int, str, int | None]]:
    entries = [Revision(name, Path(name), name) for name in names]
    found = number_checkpoints(entries, Naming(**naming))
    assert all(c.commit == c.revision for c in found)
    return [(c.checkpoint, c.revision, c.tokens_seen) for c in found]


def test_a_stage_that_counts_anew_goes_on_from_the_one_before() -> None:
    assert numbered(
        "stage2-ingredient1-step2-tokens4B",
        "stage2-ingredient1-step1-tokens2B",
        "main",
        "stage1-step9-tokens18B",
        "step10-tokens20B",
        "stage1-step0-tokens0B",
    ) == [
        (0, "stage1-step0-tokens0B", 0),
        (9, "stage1-step9-tokens18B", 18 * BILLION),
        (10, "step10-tokens20B", 20 * BILLION),  # OLMo 2 forgets the prefix at times
        (11, "stage2-ingredient1-step1-tokens2B", 22 * BILLION),
        (12, "stage2-ingredient1-step2-tokens4B", 24 * BILLION),
    ]


def test_a_stage_that_counts_on_keeps_its_numbers() -> None:
    names = ["stage1-step-10", "stage1-step-20", "stage2-step-30", "stage3-step-40"]
    expected = [(10 * i, name, 100 * i) for i, name in enumerate(names, 1)]
    assert numbered(*names, tokens_per_step=10) == expected


def test_the_first_step_of_a_stage_is_not_the_last_of_the_one_before() -> None:
    found = numbered("stage1-step5", "stage2-step0", "stage2-step1", tokens_per_step=2)
    assert found == [(5, "stage1-step5", 10), (6, "stage2-step0", 10), (7, "stage2-step1", 12)]


def test_numbers_do_not_depend_on_what_is_chosen() -> None:
    names = ["stage1-step5", "stage1-step9", "stage2-step3"]
    assert numbered(*names, revisions=("stage2-step3",)) == [(12, "stage2-step3", None)]


def test_several_runs_in_one_source_need_a_choice() -> None:
    names = ["step1-seed-a", "step1-seed-b", "step2-seed-a", "step3"]
    with pytest.raises(IngestError, match=r"holds the runs seed-a, seed-b.*choose one with --var"):
        numbered(*names)
    found = [(1, "step1-seed-a", None), (2, "step2-seed-a", None), (3, "step3", None)]
    assert numbered(*names, variant="seed-a") == found
    assert numbered(*names, revisions=("step1-seed-b", "step3")) == [
        (1, "step1-seed-b", None),
        (3, "step3", None),
    ]
    with pytest.raises(IngestError, match=r"no run seed-c.*choose one of seed-a, seed-b"):
        numbered(*names, variant="seed-c")


def test_revisions_that_are_not_there_or_name_no_step_get_a_sentence() -> None:
    with pytest.raises(IngestError, match="step7 does not exist: of 3 revisions, 2 name a step"):
        numbered("step5", "step6", "main", revisions=("step5", "step7"))
    with pytest.raises(IngestError, match=r"main names no step .*--revision-pattern"):
        numbered("step5", "step6", "main", revisions=("main",))
    with pytest.raises(IngestError, match="step-5 and step5 are both step 5"):
        numbered("step5", "step-5")
