"""catalog.duckdb answers as `Store` does, without Python, wherever it is opened from."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from queries import QueryError, Store, StoreError
from store import schema
from store.layout import Layout
from tests.queries.support.catalogs import ask, ask_command_line, needs_command_line
from tests.queries.support.stores import add_checkpoint, build_store, random_losses

GROUPS = {
    "first_doc": "doc = 0",  # one source document, so no band
    "some": "position > 3 and seen_before = 0",
    "none at all": "position > 9000",
    "a-b": "token_str in (' the', 'The') -- both",
    "palindromes": "is_palindrome(token_str)",
    "moved": "loss_at(row, 400) > 2",
    "losses": "true",
    "two": "true) or (false",
}
LEFT_OUT = {"palindromes", "losses", "two"}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with its own groups, in a folder whose name needs escaping in SQL and in a glob."""
    root = build_store(tmp_path_factory.mktemp("stores") / "it's [1] *", sources=6)
    name_groups(root, GROUPS)
    return Store(root)


def name_groups(root: Path, groups: dict[str, str]) -> None:
    folder = Layout(root).groups
    folder.mkdir(exist_ok=True)
    for name, clause in groups.items():
        (folder / f"{name}.sql").write_text(f"-- {name}\n{clause}\n", encoding="utf-8")


def catalog(store: Store) -> Path:
    return Layout(store.path).catalog


def test_losses_have_the_long_formats_columns_and_tokens_those_of_groups(asked: Store) -> None:
    long = ask(catalog(asked), "from losses")
    assert list(long) == schema.LOSSES.names
    assert len(long) == asked.manifest.n_tokens * len(asked.steps)
    assert list(ask(catalog(asked), "from tokens")) == list(asked.sql("from tokens"))
    assert len(ask(catalog(asked), "from docs")) == asked.manifest.n_docs
    assert ask(catalog(asked), "from checkpoints")["checkpoint"].tolist() == asked.steps


def test_a_row_of_the_losses_is_the_token_of_that_row(asked: Store) -> None:
    rows = ask(catalog(asked), "from loss_rows where checkpoint = 8").set_index("row")["loss"]
    np.testing.assert_array_equal(rows.sort_index(), asked.matrix.column(8))


@pytest.mark.parametrize("group", ["all_tokens", "word_start", "some", "first_doc", "a-b", "moved"])
def test_trajectories_and_their_bands_are_those_of_the_store(asked: Store, group: str) -> None:
    ours = asked.trajectories({group: group})
    same(ask(catalog(asked), "from trajectory($group)", group=group), ours)


@pytest.mark.parametrize("baseline", ["word_continuation", "all_tokens", "some", "first_doc"])
def test_differences_are_paired_as_in_the_store(asked: Store, baseline: str) -> None:
    ours = asked.difference("word_start", baseline)
    theirs = ask(catalog(asked), "from difference('word_start', $baseline)", baseline=baseline)
    same(theirs, ours)
    assert theirs["low"].isna().all() == (baseline == "first_doc")


def test_a_store_of_one_source_document_has_no_bands(tmp_path: Path) -> None:
    store = Store(build_store(tmp_path / "one", sources=1))
    theirs = ask(catalog(store), "from trajectory('word_start')")
    same(theirs, store.trajectories({"word_start": "word_start"}))
    assert theirs["low"].isna().all()


def test_a_group_without_tokens_has_no_trajectory(asked: Store) -> None:
    assert ask(catalog(asked), "from trajectory('none at all')").empty


def test_a_users_view_is_a_group(asked: Store) -> None:
    with duckdb.connect(str(catalog(asked)), read_only=True) as connection:
        connection.execute("create temp view mine as from tokens where word = 'Noon'")
        theirs = connection.sql("from trajectory('mine')").df()
    same(theirs, asked.trajectories({"mine": "word = 'Noon'"}))


def test_the_zoom_has_every_token(asked: Store) -> None:
    theirs = ask(catalog(asked), "from zoom(4, 400)")
    assert list(theirs) == [
        "row",
        "token_str",
        "doc",
        "position",
        "source",
        "loss_first",
        "loss_last",
        "change",
    ]
    ours = asked.zoom(4, 400).changes
    renamed = ours.rename(columns={"first_loss": "loss_first", "last_loss": "loss_last"})
    same(theirs, renamed[list(theirs)])


def test_the_in_context_score_of_the_demo(demo: Store) -> None:
    demo.make_catalog()
    ours = demo.difference("position = 500", "position = 50")
    same(ask(catalog(demo), "from in_context_score()"), ours)


def test_groups_that_need_python_or_are_invalid_are_left_out(asked: Store) -> None:
    made = asked.make_catalog().set_index("name")["kind"]
    assert set(made.index[made == "left out"]) == LEFT_OUT
    assert set(made.index[made == "view"]) >= set(asked.named_groups) - LEFT_OUT
    assert set(made.index[made == "macro"]) >= {"trajectory", "difference", "zoom"}


@needs_command_line
@pytest.mark.parametrize("group", ["word_start", "first_doc"])
def test_duckdbs_command_line_answers_in_any_folder(
    asked: Store, tmp_path: Path, group: str
) -> None:
    query = f"from trajectory('{group}')"
    same(ask_command_line(catalog(asked), query, tmp_path), asked.trajectories({group: group}))
    query = f"from difference('word_start', '{group}')"
    same(ask_command_line(catalog(asked), query, tmp_path), asked.difference("word_start", group))


@needs_command_line
def test_the_command_line_reads_every_view(asked: Store, tmp_path: Path) -> None:
    made = asked.make_catalog().set_index("name")["kind"]
    for name in made.index[made == "view"]:
        counted = f'select count(*) as n from "{name}"'
        theirs = ask_command_line(catalog(asked), counted, tmp_path)["n"].item()
        assert theirs == ask(catalog(asked), counted)["n"].item(), name


def test_a_new_checkpoint_is_seen_at_once(own: Path) -> None:
    store = Store(own)
    add_checkpoint(own, 2000, random_losses(own, 1))
    theirs = ask(catalog(store), "from trajectory('all_tokens')")
    same(theirs, Store(own).trajectories({"all_tokens": "true"}))
    assert theirs["checkpoint"].max() == 2000


def test_it_is_rebuilt_only_if_the_store_or_its_groups_changed(own: Path) -> None:
    def number() -> int:
        return catalog(Store(own)).stat().st_ino

    first = number()
    assert number() == first
    name_groups(own, {"mine": "doc = 1"})
    second = number()
    assert second != first
    assert (ask(Layout(own).catalog, "from mine")["doc"] == 1).all()
    name_groups(own, {"mine": "doc = 2"})
    assert number() != second
    assert (ask(Layout(own).catalog, "from mine")["doc"] == 2).all()


def test_a_moved_store_answers_after_it_is_opened(own: Path, tmp_path: Path) -> None:
    before = Store(own).trajectories({"word_start": "word_start"})
    moved = own.rename(tmp_path / "elsewhere")
    with pytest.raises(duckdb.IOException, match="No files found"):
        ask(Layout(moved).catalog, "from trajectory('word_start')")
    Store(moved)
    same(ask(Layout(moved).catalog, "from trajectory('word_start')"), before)


def test_a_read_only_store_opens_and_the_command_reports_why(own: Path) -> None:
    in_the_way = Layout(own).catalog / "file"
    in_the_way.parent.mkdir()
    in_the_way.touch()
    store = Store(own)
    assert len(store.members("word_start"))
    with pytest.raises(QueryError, match="cannot be written"):
        store.make_catalog()
    assert [p.name for p in own.iterdir() if p.name.startswith(".")] == []


def test_a_store_with_a_broken_group_file_opens(own: Path) -> None:
    name_groups(own, {"empty": ""})
    assert Store(own).steps
    assert not Layout(own).catalog.exists()


HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("create view mine as from tokens where position = 1")
print(len(connection.sql("from trajectory('mine')").df()), flush=True)
input()
print(len(connection.sql("from trajectory('mine')").df()), flush=True)
"""


def test_it_is_replaced_while_another_process_has_it_open(own: Path) -> None:
    store = Store(own)
    arguments = [sys.executable, "-c", HOLDER, str(catalog(store))]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin and other.stdout
        assert int(other.stdout.readline()) == len(store.steps)
        store.make_catalog()
        theirs = ask(catalog(store), "from trajectory('word_start')")
        answer, _ = other.communicate("\n", timeout=60)
    assert other.returncode == 0 and int(answer) == len(store.steps)
    same(theirs, store.trajectories({"word_start": "word_start"}))
    same(ask(catalog(store), "from trajectory('word_start')"), theirs)


def test_the_journal_of_a_killed_process_is_removed(own: Path) -> None:
    store = Store(own)
    arguments = [sys.executable, "-c", HOLDER, str(catalog(store))]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout and other.stdout.readline()
        other.kill()
    journal = catalog(store).with_name("catalog.duckdb.wal")
    assert journal.exists()
    store.make_catalog()
    assert not journal.exists()
    theirs = ask(catalog(store), "from trajectory('word_start')")
    same(theirs, store.trajectories({"word_start": "word_start"}))


def test_processes_and_threads_can_build_it_concurrently(own: Path) -> None:
    store = Store(own)
    command = [sys.executable, "-m", "queries", "catalog", str(own)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.make_catalog(), range(12)))
    for process in processes:
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0 and "trajectory,macro" in printed
    theirs = ask(catalog(store), "from trajectory('word_start')")
    same(theirs, store.trajectories({"word_start": "word_start"}))
    assert {p.name for p in own.iterdir() if "catalog" in p.name} == {"catalog.duckdb"}


def same(theirs: pd.DataFrame, ours: pd.DataFrame) -> None:
    """Equal in columns and order; numbers to 1e-9 nats, NULL where NULL."""
    pd.testing.assert_frame_equal(
        theirs.reset_index(drop=True),
        ours.reset_index(drop=True),
        check_dtype=False,
        rtol=0,
        atol=1e-9,
    )


@pytest.mark.parametrize("name", ["a?b", "a*b", "a**", "a[c]b", "a\\b", "{a,b}", "it's"])
def test_a_store_and_its_catalog_work_if_the_path_is_a_pattern(tmp_path: Path, name: str) -> None:
    """Folders that match the pattern contain other losses."""
    plain = Store(build_store(tmp_path / "plain", sources=3)).trajectories({"all": "true"})
    for decoy in ("axb", "aXb", "acb", "axx", "a/c"):
        build_store(tmp_path / "in" / decoy, sources=3, seed=1)
    root = build_store(tmp_path / "in" / name, sources=3)
    store = Store(root)
    store.features.save("is_long", store.token_ids % 2 == 0, "")
    same(store.trajectories({"all": "true"}), plain)
    means = "select checkpoint, avg(loss) as mean from losses group by all order by all"
    np.testing.assert_allclose(store.sql(means)["mean"], plain["mean_loss"], rtol=1e-6)
    assert "trajectory" in set(store.make_catalog()["name"])
    copy = tmp_path / "copy.duckdb"  # DuckDB itself cannot open one below a folder such as a?b
    shutil.copyfile(Layout(root).catalog, copy)
    np.testing.assert_allclose(ask(copy, means)["mean"], plain["mean_loss"], rtol=1e-6)
    assert list(ask(copy, "from tokens")) == list(store.sql("from tokens"))
    add_checkpoint(root, 2000, random_losses(root, 1))
    assert 2000 in set(Store(root).sql("from losses")["checkpoint"])
    shutil.copyfile(Layout(root).catalog, copy)
    assert 2000 in set(ask(copy, "from losses")["checkpoint"])


def test_a_path_that_duckdb_cannot_read_is_refused(tmp_path: Path) -> None:
    root = build_store(tmp_path / "a\\[c]", sources=3)
    with pytest.raises(StoreError, match="rename one of its folders"):
        Store(root)
