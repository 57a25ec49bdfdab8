"""Python functions in groups: annotations, calls per distinct value, errors, time limit, reload."""

import shutil
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from queries import GroupError, QueryError, Store, StoreError
from queries.engine import database, functions
from queries.engine.functions import TooLateError, call_until

MATRIX = ["loss_at", "forgetting_at", "acquisition"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("functions") / "mine.py"
    shutil.copy(Path(__file__).with_name("somebodys_functions.py"), path)
    return path


@pytest.fixture
def asked(folder: Path, file: Path) -> Store:
    """A store with the functions above, none of them called yet."""
    file.with_name("calls").unlink(missing_ok=True)
    return Store(folder, functions=file)


def noted(file: Path) -> list[str]:
    functions = file.with_name("calls")
    return functions.read_text().splitlines() if functions.exists() else []


@pytest.mark.parametrize(
    ("clause", "plain"),
    [
        ("noted(token_str)", "contains(token_str, 'o')"),
        ("noted_together(token_str)", "contains(token_str, 'o')"),
        ("area(word, position) > 30", "length(word) * position > 30"),
        ("area_together(word, position) > 30", "length(word) * position > 30"),
        ("halved(loss_at(row, 400)) > 2", "loss_at(row, 400) > 4"),
        ("flipped(token_str, is_word_start) = 'ev'", "false"),
        ("flipped(word, position < 9) = 'emabO'", "false"),
        ("flipped(word, position < 9) = 'amabO'", "word = 'Obama' and position < 9"),
        ("noted(null)", "false"),
        ("area(word, null) is null", "true"),
        ("not is_palindrome(word)", "lower(word) not in ('noon', 'level')"),
    ],
)
def test_members_equal_those_of_the_same_condition_in_sql(
    asked: Store, clause: str, plain: str
) -> None:
    assert asked.members(clause).tolist() == asked.members(plain).tolist()


@pytest.mark.parametrize("name", ["noted", "noted_together"])
def test_a_function_is_called_once_per_distinct_value(asked: Store, file: Path, name: str) -> None:
    values = asked.sql("select distinct token_str from tokens")["token_str"]
    for clause in (f"{name}(token_str)", f"not {name}(token_str) or {name}(' the')"):
        asked.members(clause)
        assert sorted(noted(file)) == sorted(map(repr, values))


def test_a_function_of_two_arguments_is_called_once_per_distinct_pair(
    asked: Store, file: Path
) -> None:
    asked.members("area(word, position) > 3")
    asked.members("area(word, position) > 5")
    pairs = asked.sql("select distinct word, position from tokens where word is not null")
    assert sorted(noted(file)) == sorted(map(repr, pairs.itertuples(index=False, name=None)))


def test_values_beyond_the_cache_are_computed_again(
    asked: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "KEPT_VALUES", 0)
    values = asked.sql("select distinct token_str from tokens")["token_str"]
    for times in (1, 2):
        assert len(asked.members("noted(token_str)")) > 0
        assert len(noted(file)) == times * len(values)


def test_a_random_function_is_called_for_every_row(asked: Store, file: Path) -> None:
    n = asked.manifest.n_tokens
    values = asked.sql("select chance(1) as one, chance(doc) as other from tokens")
    assert values["one"].nunique() == values["other"].nunique() == n
    assert len(noted(file)) == 2 * n


@pytest.mark.parametrize(
    ("clause", "complaint"),
    [
        ("fails_for_noon(token_str)", "fails_for_noon failed for ' Noon': ZeroDivisionError: "),
        ("fails_together_for_noon(token_str)", "failed for ' Noon': ZeroDivisionError: "),
        ("fails_for_many(token_str)", " and 11 more: ZeroDivisionError: "),
        ("yes_for_level(token_str)", "failed for ' level': it returned 'yes', expected BOOLEAN"),
        ("nothing_for_level(token_str)", "failed for ' level': it returned None, expected a"),
        ("fraction(position) = 1", "it returned 0.5, expected BIGINT"),
        ("too_large(position) = 1", "it returned 9223372036854775808, expected BIGINT"),
        ("shuffled(token_str)", "it returned a Series with another index, expected a Series of 12"),
        ("too_few(token_str)", "it returned a Series with another index, expected a Series of 12"),
        ("single(token_str)", "it returned True, expected a Series of 12 values"),
    ],
)
def test_an_error_names_the_function_and_the_value(
    asked: Store, clause: str, complaint: str
) -> None:
    with pytest.raises(GroupError) as caught:
        asked.members(clause)
    assert complaint in str(caught.value)
    with pytest.raises(QueryError, match=r"^the function ") as from_sql:
        asked.sql(f"select {clause} from tokens")
    assert complaint in str(from_sql.value)


@pytest.mark.parametrize(
    ("clause", "complaint"),
    [
        ("endless(token_str)", "endless failed for ' the': it was still running at the time limit"),
        ("endless_together(token_str)", "and 11 more: it was still running at the time limit"),
        ("slow(row)", "and was stopped"),
    ],
)
def test_a_function_that_does_not_end_is_stopped_and_the_next_query_works(
    asked: Store, monkeypatch: pytest.MonkeyPatch, clause: str, complaint: str
) -> None:
    monkeypatch.setattr(database, "TIME_LIMIT", 0.5)
    for ask in (asked.members, lambda c: asked.sql(f"select count(*) from tokens where {c}")):
        began = time.monotonic()
        with pytest.raises(QueryError, match=complaint):
            ask(clause)
        assert time.monotonic() - began < 5
    monkeypatch.undo()
    assert len(asked.members("noted(token_str) or true")) == asked.manifest.n_tokens


def test_a_query_is_not_stopped_at_the_deadline_of_another(
    asked: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TIME_LIMIT", 2)
    stopped: list[str] = []

    def ask_for_what_never_ends() -> None:
        with pytest.raises(QueryError, match="was stopped"):
            asked.members("endless(token_str)")
        stopped.append("endless")

    thread = threading.Thread(target=ask_for_what_never_ends)
    thread.start()
    time.sleep(1)
    assert len(asked.sql("select waits(1) as w")) == 1  # from 1 s to 2.2 s or more
    thread.join(10)
    assert stopped == ["endless"]


def test_a_call_that_ends_near_its_deadline_leaves_no_exception() -> None:
    outcomes = set()
    for n in range(300):
        deadline = time.monotonic() + 0.0005

        def work(until: float = deadline + (n % 3 - 1) * 0.0003) -> str:
            while time.monotonic() < until:
                pass
            return "done"

        try:
            outcomes.add(call_until(deadline, work))
        except TooLateError:
            outcomes.add("late")
        sum(range(1000))  # a pending one would be raised here
    assert "done" in outcomes


WRITTEN = {
    "def f(x) -> bool: return True": "the function f needs annotations of str, int, float or bool",
    "def f(x: str): return True": "the function f needs annotations",
    "def f(x: list) -> bool: return True": "begin its name with _",
    "def f(x: 'pd.Series[list]') -> 'pd.Series[bool]': return x": "the function f needs annot",
    "def f(x: 'pd.Series[str]') -> bool: return True": "or of Series on all of them",
    "def f() -> bool: return True": "the function f takes no argument: give it a column",
    "def lower(x: str) -> bool: return True": "lower cannot be registered: SQL has",
    "def LOSS_AT(x: str) -> bool: return True": "LOSS_AT cannot be registered: SQL has",
    "def select(x: str) -> bool: return True": "select cannot be registered: SQL has",
    "def f(x: str) -> bool: return True\ndef F(x: str) -> bool: return True": (
        "the function f cannot be registered: SQL has"
    ),
    "import nothing_of_that_name": "cannot be loaded: ModuleNotFoundError: No module named",
    "def f(": "cannot be loaded: SyntaxError",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_an_unusable_file_gets_a_sentence(folder: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(StoreError, match=WRITTEN[text]):
        Store(folder, functions=path)


def test_a_path_that_is_not_a_python_file_gets_a_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    for path in (tmp_path / "none.py", tmp_path / "mine.txt", tmp_path):
        with pytest.raises(StoreError, match="is not a Python file"):
            Store(folder, functions=path)


def test_string_annotations_and_helper_functions_are_understood(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\nfrom re import sub\nimport pandas as pd\n"
        "def _helper(x): return x\n"
        "def is_long(word: str) -> bool: return len(_helper(word)) > 4\n"
        "def length(x: pd.Series[str]) -> pd.Series[int]: return x.str.len()\n".replace(
            "length(", "n_letters("
        )
    )
    store = Store(folder, functions=path)
    assert store.functions == [*MATRIX, "is_palindrome", "is_long", "n_letters"]
    expected = store.members("length(word) > 4").tolist()
    assert store.members("is_long(word)").tolist() == expected
    assert store.members("n_letters(word) > 4").tolist() == expected
    assert list(tmp_path.iterdir()) == [path]  # no compiled file next to it


def test_loss_at_is_null_for_an_unknown_row_and_an_error_for_an_unknown_checkpoint(
    store: Store,
) -> None:
    assert store.members("loss_at(row - 1, 400) is null").tolist() == [0]
    assert store.members("loss_at(null, 400) is null and position = 1").size
    last = store.manifest.n_tokens - 1
    assert store.members("loss_at(row + 1, 400) is null").tolist() == [last]
    with pytest.raises(GroupError, match="checkpoint 300 is not in the store: the nearest are 16"):
        store.members("loss_at(row, 300) > 2")


def test_a_vectorised_function_is_given_series_of_its_types(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import pandas as pd\n"
        'def kind(a: "pd.Series[str]", b: "pd.Series[int]", c: "pd.Series[float]",'
        ' d: "pd.Series[bool]") -> "pd.Series[str]":\n'
        '    return pd.Series([f"{x.dtype}" for x in (a, b, c, d)][1:] and '
        '[" ".join(str(x.dtype) for x in (b, c, d))] * len(a))\n'
    )
    found = Store(folder, functions=path).sql(
        "select distinct kind(token_str, position, loss_at(row, 400), is_word_start) as k "
        "from tokens"
    )
    pd.testing.assert_series_equal(found["k"], pd.Series(["int64 float64 bool"], name="k"))
