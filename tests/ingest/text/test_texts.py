"""Local files -> source documents, in a fixed order, nothing lost; or a sentence."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.errors import IngestError
from ingest.text import documents as texts
from ingest.text.document_names import SourceDocument
from ingest.text.documents import open_text


def read_texts(path: Path, column: str = "text") -> list[SourceDocument]:
    return list(open_text(path, column).documents)


def write_jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_text_file_is_one_document_kept_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "a.b.txt"
    path.write_bytes("\ufeff\r\n Naïve\r\n🎉 ".encode())
    assert read_texts(path) == [SourceDocument("a.b", "\r\n Naïve\r\n🎉 ")]


def test_a_folder_is_read_in_the_order_of_its_names_and_folders_below_it_too(
    tmp_path: Path,
) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "notes.md").write_text("no text of ours")
    assert [(d.source, d.text) for d in read_texts(tmp_path)] == [
        ("a", "a.txt"),
        ("b", "b.txt"),
        ("sub/c", "sub/c.txt"),
    ]


def test_json_lines_keep_their_other_columns(tmp_path: Path) -> None:
    rows = [{"text": "one", "id": 7, "year": 1861, "tags": ["a", {"b": 1}]}, {"text": "two"}]
    path = write_jsonl(tmp_path / "t.jsonl", *rows)
    assert read_texts(path) == [
        SourceDocument("7", "one", {"year": 1861, "tags": '["a", {"b": 1}]'}),
        SourceDocument("t:1", "two"),
    ]


def test_parquet_gives_the_same_as_json_lines(tmp_path: Path) -> None:
    rows = [{"body": "one", "source": "s", "year": 1861}, {"body": None, "source": "t", "year": 2}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    write_jsonl(tmp_path / "t.jsonl", *rows)
    expected = [SourceDocument("s", "one", {"year": 1861})]
    assert read_texts(tmp_path / "t.parquet", "body") == expected
    assert read_texts(tmp_path / "t.jsonl", "body") == expected


def test_empty_documents_are_left_out(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", {"text": " \n"}, {"text": "x"}, {"text": None})
    assert [d.source for d in read_texts(path)] == ["t:1"]


def test_no_metadata_column_takes_a_name_of_the_stores_own(tmp_path: Path) -> None:
    row = {"text": "x", "doc": 1, "meta_doc": 2, "LOSS": 3, "part": 4, "Row": 5, "metal": 6}
    path = write_jsonl(tmp_path / "t.jsonl", row)
    assert read_texts(path)[0].metadata == {
        "meta_doc": 1,
        "meta_meta_doc": 2,
        "meta_LOSS": 3,
        "meta_part": 4,
        "meta_Row": 5,
        "metal": 6,
    }


def test_another_text_column_stays_as_metadata(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", {"text": "x", "body": "y", "name": "n"})
    assert read_texts(path, "body") == [SourceDocument("n", "y", {"meta_text": "x"})]


def test_a_file_name_that_is_no_utf_8_is_made_readable(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    Path(os.fsdecode(name)).write_text("x")
    assert [d.source for d in read_texts(tmp_path)] == ["caf\ufffd"]


BAD = {
    "latin.txt": ("naïve".encode("latin1"), "not UTF-8 text \\(byte 2 .*iconv -f latin1"),
    "wide.txt": ("naïve".encode("utf-16"), "is UTF-16 text, expected UTF-8.*iconv"),
    "blank.txt": (b" \r\n\t", "every document in it is empty"),
    "nothing.txt": (b"", "every document in it is empty"),
    "nothing.jsonl": (b"\n\n", "every document in it is empty"),
    "t.csv": (b"text\nx", "ends in .csv: expected .txt, .jsonl, .parquet"),
    "t": (b"x", "has no file extension"),
    "column.jsonl": (b'{"txt": "x", "id": 1}', "no column 'text'; its columns are id, txt.*--colu"),
    "number.jsonl": (b'{"text": 5}', "holds a int, expected text"),
    "nested.jsonl": (b'{"text": [["x"], "y"]}', "holds a list, expected text"),
    "object.jsonl": (b'{"text": {"body": "x"}}', "holds a dict, expected text"),
    "null.jsonl": (b'{"text": null}', "every document in it is empty"),
    "none.jsonl": (b"null", "line 1, is not a JSON object"),
    "long.jsonl": (b'{"text": "' + b"x" * 10_000_000, "line 1, is not JSON"),
    "list.jsonl": (b'{"text": "x"}\n["x"]', "line 2, is not a JSON object"),
    "broken.jsonl": (b'{"text": "x"}\n{"text": ', "line 2, is not JSON"),
    "deep.jsonl": (b'{"text": "x", "a": ' + b"[" * 9_999 + b"]" * 9_999 + b"}", "is not JSON"),
    "half.jsonl": (rb'{"text": "\ud83c"}', "line 1, has half a character"),
    "half-metadata.jsonl": (rb'{"text": "x", "a": ["\udfff"]}', "half a character"),
    "half-name.jsonl": (rb'{"text": "x", "\ud800": 1}', "half a character"),
    "t.parquet": (b"PAR1 or not", "not a readable Parquet file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_text_gets_a_sentence(tmp_path: Path, name: str) -> None:
    content, sentence = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IngestError, match=sentence):
        read_texts(tmp_path / name)


def test_a_parquet_string_that_is_no_utf_8_gets_a_sentence(tmp_path: Path) -> None:
    broken = pa.array([b"na\xefve"]).view(pa.string())
    pq.write_table(pa.table({"text": broken}), tmp_path / "t.parquet")
    with pytest.raises(IngestError, match="not a readable Parquet file"):
        read_texts(tmp_path / "t.parquet")


def test_a_missing_path_and_a_folder_without_text_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"does not exist: expected a \.txt"):
        read_texts(tmp_path / "gone.txt")
    with pytest.raises(IngestError, match=r"has no \.txt, \.jsonl, \.parquet files"):
        read_texts(tmp_path)


def test_hidden_files_are_no_documents_and_an_ending_in_capitals_is_one(tmp_path: Path) -> None:
    for name in (
        *(".ipynb_checkpoints/a-checkpoint.txt", "._a.txt", ".hidden.jsonl", "__MACOSX/a.txt"),
        *("a.txt", "B.TXT", "sub/.cache/c.parquet", "sub/c.Txt", "DS_Store"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "d.JSONL").write_text('{"text": "x"}')
    assert sorted(d.source for d in read_texts(tmp_path)) == ["B", "a", "d:0", "sub/c"]
    assert [d.source for d in read_texts(tmp_path / "._a.txt")] == ["._a"]  # it was named


def test_a_folder_of_hidden_files_alone_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "._a.txt").write_text("x")
    with pytest.raises(IngestError, match="hidden files do not count"):
        read_texts(tmp_path)


def test_files_that_differ_in_their_ending_are_documents_of_their_own(tmp_path: Path) -> None:
    for name in ("a.txt", "a.TXT"):
        (tmp_path / name).write_text(name)
    rows = ({"text": "x"}, {"text": "y"})
    write_jsonl(tmp_path / "b.jsonl", *rows)
    pq.write_table(pa.Table.from_pylist(list(rows)), tmp_path / "b.parquet")
    found = [d.source for d in read_texts(tmp_path)]
    assert len(set(found)) == len(found) == 6


@pytest.mark.parametrize("ending", ["txt", "jsonl"])
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin1", "cp1252"]
)
def test_the_advice_for_another_encoding_works(tmp_path: Path, encoding: str, ending: str) -> None:
    path = tmp_path / f"it's a file.{ending}"
    content = '{"text": "naïve"}'
    path.write_bytes(content.encode(encoding))
    with pytest.raises(IngestError, match="expected UTF-8") as caught:
        read_texts(path)
    command = str(caught.value).partition("`")[2].rpartition("`")[0]
    subprocess.run(command, shell=True, check=True)
    (document,) = read_texts(path)
    assert document.text == (content if ending == "txt" else "naïve")


def test_no_more_is_read_than_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": t} for t in ("", "a", " ", "b", "c")]
    path = write_jsonl(tmp_path / "t.jsonl", *rows)
    given: list[str] = []
    from_row = texts.from_row

    def counted(row: Any, *rest: Any, **named: Any) -> Any:
        given.append(row["text"])
        return from_row(row, *rest, **named)

    monkeypatch.setattr(texts, "from_row", counted)
    documents = list(open_text(path, limit_docs=2).documents)
    assert [d.text for d in documents] == ["a", "b"]
    assert given == ["", "a", " ", "b"]
    assert "2 of 4 documents hold no text and are left out" in capsys.readouterr().err
