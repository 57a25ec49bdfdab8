"""Groups: valid clauses, places of mistakes, named groups as files, many groups at once."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queries import GroupError, Store
from queries.__main__ import main
from queries.groups import named_groups
from queries.groups.named_groups import (
    NamedGroup,
    delete_group,
    read_group,
    rename_group,
    save_group,
)
from tests.queries.support.stores import VOCABULARY, PlainSql, hashes


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shared groups, to be changed."""
    folder = shutil.copytree(named_groups.SHARED, tmp_path / "shared")
    for module in (named_groups, named_groups):
        monkeypatch.setattr(module, "SHARED", folder)
    return folder


COLUMN = "tokens have no column {}: did you mean {}?"


@pytest.mark.parametrize(
    ("clause", "wrong", "complaint"),
    [
        ("positon = 3", "positon", COLUMN.format("positon", "position")),
        ("token_str = 'äß' and positon = 3", "positon", COLUMN.format("positon", "position")),
        ("true\n  and '\n' = tokenstr", "tokenstr", COLUMN.format("tokenstr", "token_str")),
        ("year > 1 and tokens.dox > 0", "tokens.", COLUMN.format("dox", "doc")),
        ("'🙂' <> 'x' or loss > 2", "loss", "write loss_at(row, 1000) > 2"),
        ('word = "Obama"', '"Obama"', "write text in single quotes"),
        ("(select max(pos) from tokens) = 1", "pos)", "no column pos"),
        ("true and is_palindrom(word)", "is_pal", "did you mean is_palindrome?"),
        ("true and lower(position, 3) = 'a'", "lower", "No function matches"),
        ("'ä' = '' or position = = 3", "= 3", 'syntax error at or near "="'),
        ("position in (1, 2", "2", "syntax error"),
        ("position = 500 and", "and", "syntax error"),
        ("true and position = 'abc'", "'abc'", "Could not convert string 'abc' to INT32"),
        ("'ü' = '' or token_str::int = 3", "::int", "Could not convert string"),
        ("sum(position) > 3", "sum", "WHERE clause cannot contain aggregates"),
    ],
)
def test_an_error_names_the_place_of_the_mistake(
    store: Store, clause: str, wrong: str, complaint: str
) -> None:
    with pytest.raises(GroupError) as caught:
        store.members(clause)
    assert complaint in str(caught.value)
    (place,) = re.findall(r"at character (\d+)", str(caught.value))
    assert clause[int(place) - 1 :].startswith(wrong)


def test_an_expression_that_is_not_boolean_gets_a_sentence_with_its_type(store: Store) -> None:
    with pytest.raises(GroupError, match="is of type INTEGER, not true or false: compare it"):
        store.members("position")
    with pytest.raises(GroupError, match="the group is empty"):
        store.members(" \n")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
clauses = st.one_of(
    texts.map(lambda t: "word = '" + t.replace("'", "''") + "'"),
    texts.map(lambda t: f"-- {t}\ntrue"),
    texts.map(lambda t: "token_str in ('\n-- " + t.replace("'", "''") + "')\n-- the end"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(clauses, texts, texts)
def test_a_group_reads_back_as_it_was_saved(
    tmp_path: Path, clause: str, title: str, description: str
) -> None:
    saved = save_group(tmp_path, NamedGroup("a", title, description, clause), overwrite=True)
    assert saved == read_group(tmp_path / "a.sql")
    assert saved.clause == clause.strip()
    assert saved.title == (" ".join(title.split()) or "a")
    lines = description.strip().split("\n")
    assert saved.description == "\n".join(line.strip() for line in lines)
    assert save_group(tmp_path, saved, overwrite=True) == saved
    assert [path.name for path in tmp_path.iterdir()] == ["a.sql"]


def test_the_shared_groups_are_read_as_written(tmp_path: Path) -> None:
    for name, group in named_groups.read_groups(named_groups.SHARED).items():
        save_group(tmp_path, group)
        assert (tmp_path / f"{name}.sql").read_text() == (
            named_groups.SHARED / f"{name}.sql"
        ).read_text()


def test_files_of_other_editors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.sql"
    path.write_bytes("\ufeff-- Title\r\n-- More\r\nposition = 1\r\n  or true\r\n".encode())
    assert read_group(path) == NamedGroup("a", "Title", "More", "position = 1\r\n  or true")
    path.write_bytes(b"-- only a comment\n")
    with pytest.raises(GroupError, match="contains no expression"):
        read_group(path)
    path.write_bytes(b"word = '\xff'")
    with pytest.raises(GroupError, match="cannot be read as UTF-8"):
        read_group(path)


@pytest.mark.parametrize(
    "name",
    ["", "A", "1a", "a-b", "a b", "../a", "a/b", "a.sql", "ä", "a\n", "select", "true", "a" * 64,
     "tokens", "losses"],
)  # fmt: skip
def test_an_invalid_name_is_refused(own: Path, name: str) -> None:
    store, before = Store(own), hashes(own)
    with pytest.raises(GroupError, match="cannot be the name of a group"):
        store.groups.save(name, "true")
    store.groups.save("fine", "true")
    with pytest.raises(GroupError, match="cannot be the name of a group"):
        store.groups.rename("fine", name)
    store.groups.delete("fine")
    assert hashes(own) == before


def test_groups_of_a_store_are_saved_renamed_and_deleted(own: Path) -> None:
    store = Store(own)
    saved = store.groups.save("names", "word in ('Obama')", "Names", "A line.\nAnother; -- end")
    assert saved == NamedGroup("names", "Names", "A line.\nAnother; -- end", "word in ('Obama')")
    assert store.named_groups["names"] == saved
    assert store.members("names").tolist() == store.members("word in ('Obama')").tolist()
    assert store.groups.save("copy", "names").clause == saved.clause  # of another group
    assert store.groups.rename("names", "people").title == "Names"
    assert not {"names"} & store.named_groups.keys()
    store.groups.delete("people")
    assert sorted(path.name for path in (own / "groups").iterdir()) == ["copy.sql"]


def test_nothing_is_overwritten_unless_asked(own: Path) -> None:
    store = Store(own)
    first = store.groups.save("first", "position = 1")
    store.groups.save("second", "position = 2")
    for refused in (
        lambda: store.groups.save("first", "true"),
        lambda: store.groups.save("copyable", "true"),  # would hide the shared one
        lambda: store.groups.rename("second", "first"),
        lambda: save_group(own / "groups", first),
        lambda: rename_group(own / "groups", "second", "first"),
    ):
        with pytest.raises(GroupError, match="already: choose another name, or overwrite"):
            refused()
    assert store.named_groups["first"] == first
    store.groups.save("copyable", "true", overwrite=True)
    assert store.groups.clause("copyable") == "true"
    store.groups.delete("copyable")
    assert "trigram" in store.groups.clause("copyable")
    assert store.groups.rename("second", "first", overwrite=True).clause == "position = 2"


def test_an_invalid_clause_is_not_saved(own: Path) -> None:
    store, before = Store(own), hashes(own)
    for clause in ("", "true) or (false", "positon = 1", "position", "true; drop table token_rows"):
        with pytest.raises(GroupError):
            store.groups.save("mine", clause)
    with pytest.raises(GroupError, match="position cannot be the name of a group: it is a column"):
        store.groups.save("position", "true")
    with pytest.raises(GroupError, match="is not valid Unicode text"):
        store.groups.save("mine", "true", title="\ud800")
    assert hashes(own) == before


def test_an_unknown_group_gets_a_sentence(own: Path) -> None:
    store = Store(own)
    store.groups.save("names", "true")
    for act in (lambda: store.groups.delete("nams"), lambda: store.groups.rename("nams", "x")):
        with pytest.raises(GroupError, match=r"has no group nams: did you mean names\?"):
            act()
    with pytest.raises(GroupError, match=r"has no group \.\./manifest: there are names"):
        delete_group(own / "groups", "../manifest")


def test_a_read_only_store_gets_a_sentence(own: Path) -> None:
    (own / "groups").write_text("not a folder, so nothing can be saved in it")
    with pytest.raises(GroupError, match=r"cannot be changed \(.+\): make "):
        Store(own).groups.save("mine", "true")


def test_shared_groups_exist_in_every_store(own: Path, folder: Path, shared: Path) -> None:
    Store(own).groups.save("ours", "position = 2", "Ours", shared=True)
    assert Store(folder).named_groups["ours"].title == "Ours"
    Store(own).groups.rename("ours", "yours", shared=True)
    Store(folder).groups.delete("yours", shared=True)
    assert not (own / "groups").exists()
    assert hashes(shared) == hashes(Path(named_groups.__file__).parent)


def test_the_command_line_saves_renames_and_deletes(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["groups", str(own), "--save", "mine", "position = 2", "--title", "Second"]) == 0
    assert "mine,Second," in capsys.readouterr().out
    assert main(["groups", str(own), "--save", "mine", "true"]) == 2
    assert "the group mine exists already" in capsys.readouterr().err
    assert main(["groups", str(own), "--save", "mine", "true", "--overwrite"]) == 0
    assert main(["groups", str(own), "--rename", "mine", "all_mine"]) == 0
    assert main(["groups", str(own), "--delete", "all_mine"]) == 0
    assert "mine" not in capsys.readouterr().out.splitlines()[-1]
    assert main(["groups", str(own), "--delete", "all_mine"]) == 2


def test_200_overlapping_groups_at_once_equal_plain_sql(store: Store, plain: PlainSql) -> None:
    texts = [v.replace("'", "''") for v in VOCABULARY]
    asked = {
        f"group {i}": f"position % {i % 20 + 2} = 0 or token_str = '{texts[i % len(texts)]}'"
        f" or loss_at(row, 400) > {i / 20}"
        for i in range(200)
    }
    ours = store.trajectories(asked)
    assert ours["token_group"].unique().tolist() == list(asked)
    for name, clause in list(asked.items())[::4]:
        mine, theirs = ours[ours["token_group"] == name], plain.means(clause)
        for column in ("checkpoint", "n_tokens", "n_docs"):
            assert mine[column].tolist() == theirs[column].tolist()
        np.testing.assert_allclose(mine["mean_loss"], theirs["mean_loss"], atol=1e-6, rtol=0)


def test_a_broken_file_affects_only_queries_that_use_it(own: Path) -> None:
    (own / "groups").mkdir()
    (own / "groups" / "broken.sql").write_text("-- only a comment")
    store = Store(own)
    assert len(store.members("word_start")) == len(store.members("is_word_start"))
    for ask in (lambda: store.members("broken"), lambda: store.named_groups):
        with pytest.raises(GroupError, match=r"broken\.sql contains no expression"):
            ask()


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("Copyabel", "did you mean the group copyable?"),
        ("positon", "did you mean the column position?"),
        (" Obama ", "for text, write word = 'Obama'"),
    ],
)
def test_an_unknown_word_gets_the_nearest_group_or_column(
    store: Store, word: str, hint: str
) -> None:
    with pytest.raises(GroupError) as raised:
        store.members(word)
    told = f"{word.strip()} is neither a group nor a column of tokens: {hint}"
    assert str(raised.value) == told
