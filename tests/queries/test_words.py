"""Words partition a text, whatever its tokens are, and losses are conserved."""

import re
from pathlib import Path

import numpy as np
import pytest

from queries import GroupError, Store
from queries.words import Words, words_of
from tests.queries.support.texts import TEXTS, Cut, text_store

CUTS = {
    "plain": Cut(0),
    "characters": Cut(1, longest=1),
    "long tokens": Cut(2, longest=25),
    "windows": Cut(3, window=6),
    "overlapping windows": Cut(4, window=7, overlap=3),
    "no bos": Cut(5, window=6, has_bos=False),
    "trimmed": Cut(6, trimmed=True, window=5),
    "older store": Cut(7, window=6, starts_known=False),
    "older store, overlap": Cut(8, window=7, overlap=3, starts_known=False),
}


@pytest.fixture(scope="module", params=CUTS, ids=str)
def words(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Words:
    folder = tmp_path_factory.mktemp("words") / "store"
    return words_of(Store(text_store(folder, CUTS[request.param])))


def _python_words(text: str) -> list[str]:
    """By hand: blanks, then characters that are not blank; blanks at the end go to the last."""
    runs = re.split(r"(?<=\S)(?=\s)", text)  # Python's \s is its isspace
    return [*runs[:-1], runs[-1]] if runs[-1].strip() else [*runs[:-2], "".join(runs[-2:])]


def test_words_are_runs_of_characters_with_the_blanks_before_them(words: Words) -> None:
    for source, text in TEXTS.items():
        found = words.frame[words.frame["source"] == source]
        whole = "".join(found["text"])
        if len(whole) == len(text):
            assert found["text"].tolist() == _python_words(text)
            assert found["prev_text"].tolist()[1:] == found["text"].tolist()[:-1]
        assert found["char_end"].tolist() == np.cumsum(found["text"].str.len()).tolist()
        assert [
            whole[a:b] for a, b in zip(found["char_start"], found["char_end"], strict=True)
        ] == (found["text"].tolist())


def test_losses_are_conserved_in_each_document(words: Words) -> None:
    store = words.store
    column = store.matrix.column(100).astype(float)
    expected = np.bincount(store.source_of_row, column)
    found = np.bincount(words.source_of_word, words.losses(100))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_words_loss_is_that_of_its_bytes(words: Words) -> None:
    """By hand, character by character: each token's loss is spread over its UTF-8 bytes."""
    store = words.store
    spans = store.sql(
        "select d.source, t.char_start + d.text_start as a, t.char_end + d.text_start as b, "
        'l.loss from token_rows t join doc_texts d using (doc) join loss_rows l using ("row") '
        'where l.checkpoint = 100 order by "row"'
    )
    starts = words.frame.groupby("source")["char_end"].apply(list)
    expected = np.zeros(len(words.frame))
    places = {
        (s, w): i for i, (s, w) in enumerate(zip(words.frame.source, words.frame.word, strict=True))
    }
    for source, a, b, loss in spans.itertuples(index=False):
        text = TEXTS[source]
        sizes = np.array([len(c.encode()) for c in text[a:b]])
        for character, size in zip(range(a, b), sizes, strict=True):
            word = int(np.searchsorted(starts[source], character, side="right"))
            expected[places[source, word]] += loss * size / sizes.sum()
    np.testing.assert_allclose(words.losses(100), expected, rtol=1e-6)


def test_bytes_without_a_loss_are_not_counted(tmp_path: Path) -> None:
    with_bos = words_of(Store(text_store(tmp_path / "bos", Cut(5, window=6))))
    assert with_bos.is_whole.all()
    assert with_bos.frame["n_bytes_scored"].sum() == sum(len(t.encode()) for t in TEXTS.values())
    without = words_of(Store(text_store(tmp_path / "none", Cut(5, window=6, has_bos=False))))
    gone = without.store.sql(
        "select t.text, min(r.char_start) as first from doc_texts t join token_rows r using (doc) "
        "group by all"
    )
    unscored = sum(len(t[:f].encode()) for t, f in gone.itertuples(index=False))
    total = len("".join(without.frame["text"]).encode())
    assert without.frame["n_bytes_scored"].sum() == total - unscored


def test_members_meet_a_condition_over_words(tmp_path: Path) -> None:
    words = words_of(Store(text_store(tmp_path / "s", Cut(0))))
    found = words.frame.iloc[words.members("trim(prev_text) = 'the'")]["text"].tolist()
    assert found == [" town—naïve", " roofs"]
    for clause, sentence in (
        ("token_id = 1", "words have no column token_id"),
        ("loss > 2", "words have no column loss"),
        ("text = 'never'", "selects none of the"),
        ("true) or (true", "syntax error"),
        ("true, 1", "more than"),
    ):
        with pytest.raises(GroupError, match=sentence):
            words.members(clause)
