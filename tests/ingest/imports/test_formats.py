"""Results in every published format become a store with the same losses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ingest.imports import formats
from ingest.verify import verify
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import Ingest
from tests.ingest.imports import published
from tests.ingest.imports.published import STEPS, Part, Written, imported_losses, read_part

Writer = Callable[[Part, Path], Written]
WRITERS = [(name, write) for name, writers in published.FORMATS.items() for write in writers]
HALF = {published.as_float16, published.as_fehlauer}
"""float16 probabilities have 11 binary digits, so ln p is exact to 2^-11; below 6e-5, they are
denormal and coarser."""


@pytest.fixture(scope="module")
def part() -> Part:
    return read_part()


@pytest.mark.parametrize(("name", "write"), WRITERS, ids=lambda x: getattr(x, "__name__", x))
def test_losses_are_those_that_were_published(
    name: str,
    write: Writer,
    part: Part,
    tmp_path: Path,
    ingest: Ingest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "theirs").mkdir()
    arguments, unscored = write(part, tmp_path / "theirs")
    store = tmp_path / "store"
    ended = ingest("import", *arguments, "--store", store)
    assert ended.status == 0, ended.error
    assert verify(store) == []
    assert list(Layout(store).scored()) == list(STEPS)
    first = np.zeros(len(part.tokens), bool)
    if write is published.as_fehlauer:  # the text is one doc
        first[0] = True
    elif unscored:
        first[part.tokens.groupby("doc").head(1).index] = True
    expected, found = part.losses[~first], imported_losses(store)
    if write in HALF:
        usable = expected < 9.7
        assert np.abs(found - expected)[usable].max() < 2**-11 * 1.01
        assert usable.mean() > 0.9
    else:
        assert found == pytest.approx(expected, abs=1e-6)
    manifest = read_manifest(Layout(store).manifest)
    assert manifest.imported and manifest.imported["format"] == name
    assert any("float16" in note for note in manifest.imported["notes"]) == (write in HALF)
    assert formats.FORMATS.keys() == published.FORMATS.keys()


def test_features_are_those_of_the_tokenizer_where_texts_are_known(
    part: Part, tmp_path: Path, ingest: Ingest
) -> None:
    """The same texts and ids give the token table that `ingest run` wrote, but for the BOS."""
    arguments, _ = published.as_csv(part, tmp_path)
    assert ingest("import", *arguments, "--store", tmp_path / "store").status == 0
    found = pq.read_table(Layout(tmp_path / "store").tokens).to_pandas()
    expected = part.tokens
    same = ["doc", "position", "token_id", "token_str", "char_start", "char_end"]
    same += ["seen_before", "trigram_seen_before"]
    for name in same:
        assert found[name].tolist() == expected[name].tolist(), name
    inner = expected["position"] > 1
    assert found["prev_token_str"][inner].tolist() == expected["prev_token_str"][inner].tolist()
    # A doc that was cut may begin or end within a word.
    cut = expected.groupby("doc").tail(5).index.union(expected.groupby("doc").head(5).index)
    whole = expected.index.difference(cut)
    for name in ("is_word_start", "word", "word_part"):
        ours, theirs = found[name][whole], expected[name][whole]
        assert (ours.isna() == theirs.isna()).all(), name
        assert ours.dropna().tolist() == theirs.dropna().tolist(), name


def test_ids_without_texts_have_no_words_and_say_so(
    part: Part, tmp_path: Path, ingest: Ingest
) -> None:
    arguments, _ = published.as_npz(part, tmp_path)
    ended = ingest("import", *arguments, "--store", tmp_path / "store")
    assert (
        "is_word_start, word, word_part are NULL: the imported files have token ids" in ended.error
    )
    table = pq.read_table(Layout(tmp_path / "store").tokens)
    assert table["is_word_start"].null_count == table["word"].null_count == table.num_rows
    assert table["token_str"][0].as_py() == f"<{part.tokens['token_id'][0]}>"
    assert table["seen_before"].to_pylist() == part.tokens["seen_before"].tolist()


@pytest.mark.parametrize(
    ("tokens", "texts"),
    [
        (["ĠThe", "Ġcaf", "Ã©", "âĢ", "Ċ"], [" The", " caf", "é", "<0xE2><0x80>", "\n"]),
        (["▁The", "▁caf", "é"], [" The", " caf", "é"]),
        (["The", "em", "##bed", "ding"], ["The", " em", "bed", " ding"]),
        (["The ", "cat"], ["The ", "cat"]),
    ],
)
def test_pieces_become_texts(
    tokens: list[str], texts: list[str], tmp_path: Path, ingest: Ingest
) -> None:
    rows = [f'{{"token": "{t}", "loss": 1.5}}' for t in tokens]
    (tmp_path / "step7.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert ingest("import", tmp_path / "step7.jsonl", "--store", tmp_path / "s").status == 0
    assert pq.read_table(Layout(tmp_path / "s").tokens)["token_str"].to_pylist() == texts


def test_no_note_guesses_at_what_pieces_says(
    tmp_path: Path, ingest: Ingest, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "step7.csv").write_text('token,loss\nThe,1.5\n" cat",2.5\n', encoding="utf-8")
    given = ("import", tmp_path / "step7.csv", "--pieces", "words")
    assert ingest(*given, "--store", tmp_path / "s").status == 0
    assert "note:" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_first_row_may_have_no_loss(kind: str, tmp_path: Path, ingest: Ingest) -> None:
    frame = pd.DataFrame({"token": ["The", " cat", " sat"], "loss": [None, 1.5, 2.5]})
    path = tmp_path / f"step7.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    ended = ingest("import", path, "--store", tmp_path / "s")
    assert ended.status == 0, ended.error
    assert imported_losses(tmp_path / "s").tolist() == [[1.5], [2.5]]


@pytest.mark.parametrize("split", ["docs", "shuffled docs"])
def test_the_order_and_the_number_of_files_do_not_matter(
    split: str, part: Part, tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files by doc, with all checkpoints each: the first checkpoint's tokens are in all of them."""
    monkeypatch.setattr("ingest.imports.files.ROWS", 100)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for doc, frame in part.long.groupby("doc"):
        if split == "shuffled docs":
            frame = frame.sample(frac=1, random_state=1)
        frame.drop(columns="token_str").to_parquet(theirs / f"part-{doc}.parquet")
    assert ingest("import", theirs, "--store", tmp_path / "store").status == 0
    assert (imported_losses(tmp_path / "store") == part.losses).all()


def test_what_does_not_fit_into_memory_is_kept_in_files(
    part: Part, tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.imports.rows.IN_MEMORY", 1)
    arguments, _ = published.as_jsonl(part, tmp_path)
    assert ingest("import", *arguments, "--store", tmp_path / "store").status == 0
    assert imported_losses(tmp_path / "store") == pytest.approx(part.losses, abs=1e-6)
    assert not list((tmp_path / "store").glob("unfinished*"))


def test_sniff_says_what_and_why(
    part: Part, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ingest.__main__ import main

    arguments, _ = published.as_memorisation_profiles(part, tmp_path)
    assert main(["import", arguments[0], "--sniff"]) == 0
    printed = capsys.readouterr().out
    assert "memorisation-profiles (Lesci et al.)" in printed and "3 .parquet files" in printed
    assert "the columns seq_idx and sup (a list)" in printed
    assert main(["import", "--formats"]) == 0
    assert capsys.readouterr().out.count("\n") == len(formats.FORMATS)


def test_ranks_and_entropies_become_predictions(part: Part, tmp_path: Path, ingest: Ingest) -> None:
    """Ranks from 1 are converted; what was not published is said to be unknown."""
    for write, measure, value in (
        (published.as_memorisation_profiles, "entropy", 1.0),
        (published.as_memorisation_profiles, "accuracy", 1.0),
        (published.as_vllm, "rank", 1.0),
        (published.as_prime_rl, "entropy", 0.5),
    ):
        folder = tmp_path / f"{write.__name__}-{measure}"
        (folder / "theirs").mkdir(parents=True)
        arguments, _ = write(part, folder / "theirs")
        assert ingest("import", *arguments, "--store", folder / "store").status == 0
        assert verify(folder / "store") == []
        layout = Layout(folder / "store")
        found = [pq.read_table(path) for path in layout.predicted().values()]
        column = "rank" if measure == "accuracy" else measure
        values = np.concatenate([table[column].to_numpy() for table in found])
        assert len(found) == len(STEPS)
        assert ((values == 0) == value).all() if measure == "accuracy" else (values == value).all()
        assert all(table["top_id"].null_count == table.num_rows for table in found)
        unavailable = read_manifest(layout.manifest).unavailable
        assert ("rank" in unavailable) == (write is published.as_prime_rl)
        assert ("entropy" in unavailable) == (write is published.as_vllm)


def test_a_rank_below_the_first_is_refused(part: Part, tmp_path: Path, ingest: Ingest) -> None:
    arguments, _ = published.as_memorisation_profiles(part, tmp_path)
    ended = ingest("import", *arguments, "--store", tmp_path / "store", "--rank-from", "1")
    assert "the rank of scored token 1 at checkpoint 0 is missing or too small" in ended.error


@pytest.mark.parametrize("as_file", [False, True])
def test_checkpoints_are_listed_or_in_a_file(as_file: bool, tmp_path: Path, ingest: Ingest) -> None:
    """As a list, 100 steps are longer than a file's name may be."""
    steps = list(range(0, 1_000, 10))
    np.save(tmp_path / "x.npy", np.ones((4, 100), np.float32))
    np.save(tmp_path / "ids.npy", np.array([[1, 2], [3, 4]]))
    listed = ",".join(map(str, steps))
    if as_file:
        (tmp_path / "steps.txt").write_text(listed.replace(",", "\n"))
        listed = str(tmp_path / "steps.txt")
    arguments = ["--tokens", tmp_path / "ids.npy", "--checkpoints", listed]
    ended = ingest("import", tmp_path / "x.npy", *arguments, "--store", tmp_path / "store")
    assert ended.status == 0, ended.error
    assert list(Layout(tmp_path / "store").scored()) == steps
