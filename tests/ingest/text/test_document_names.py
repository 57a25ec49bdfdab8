"""Rows become documents that bands can tell apart, and columns that SQL can tell apart."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from ingest.errors import IngestError
from ingest.text.corpus import Convention, build_corpus
from ingest.text.documents import open_text
from store.manifest import read_manifest
from tests.ingest.conftest import Ingest

DOLMA = [
    {"id": f"d{i}", "text": f"the war {i}", "source": "common-crawl", "added": "2023"}
    for i in range(14)
]


@pytest.fixture
def docs_of(tmp_path: Path, bpe: PreTrainedTokenizerFast) -> Any:
    def read(rows: list[dict[str, Any]]) -> pa.Table:
        path = tmp_path / "t.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return build_corpus(open_text(path).documents, bpe, Convention(64, 0)).docs

    return read


def test_rows_of_dolma_are_documents_of_their_own(docs_of: Any, capsys: Any) -> None:
    docs = docs_of(DOLMA)
    assert docs["source"].to_pylist() == [f"d{i}" for i in range(14)]
    assert docs["meta_source"].to_pylist() == ["common-crawl"] * 14
    assert "id" not in docs.column_names and "added" in docs.column_names
    error = capsys.readouterr().err
    assert "the column id names the source documents" in error
    assert "'common-crawl' 14 times" in error and "meta_source" in error


@pytest.mark.parametrize("column", ["doc_id", "url", "uuid"])
def test_other_identifiers_are_tried_where_the_usual_ones_repeat(docs_of: Any, column: str) -> None:
    docs = docs_of([{"text": "the war", "source": "cc", column: f"x{i}"} for i in range(3)])
    assert docs["source"].to_pylist() == ["x0", "x1", "x2"]


def test_a_preferred_column_that_differs_stays_without_a_word(docs_of: Any, capsys: Any) -> None:
    docs = docs_of([{"text": "the war", "source": f"s{i}", "id": i} for i in range(3)])
    assert docs["source"].to_pylist() == ["s0", "s1", "s2"]
    assert docs["id"].to_pylist() == [0, 1, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("more", [{}, {"id": 7}])
def test_documents_that_collapse_are_a_warning(docs_of: Any, capsys: Any, more: Any) -> None:
    docs = docs_of([{"text": "the war", "source": "cc", **more}] * 5)
    assert set(docs["source"].to_pylist()) == {"cc"}
    error = capsys.readouterr().err
    assert "warning: 5 documents have only 1 different names in the column source" in error
    assert "column id" in error


def test_a_document_of_several_windows_is_one(docs_of: Any, capsys: Any) -> None:
    docs = docs_of([{"text": "the war " * 90, "id": "long"}, {"text": "the war", "id": "short"}])
    assert len(docs) > 2 and set(docs["source"].to_pylist()) == {"long", "short"}
    assert capsys.readouterr().err == ""


def spellings() -> Iterator[tuple[list[str], list[str]]]:
    yield ["Year", "year"], ["Year_capitalized", "year"]
    yield ["YEAR", "Year", "yEaR"], ["YEAR_uppercase", "Year_capitalized", "yEaR_mixed_case"]
    yield ["yEar", "yeAr"], ["yEar_mixed_case", "yeAr_mixed_case_2"]
    yield ["Year", "year", "Year_Capitalized"], ["Year_capitalized_2", "year", "Year_Capitalized"]
    yield ["Row", "row"], ["meta_Row_mixed_case", "meta_row"]
    yield ["Year"], ["Year"]


@pytest.mark.parametrize(("given", "expected"), list(spellings()))
def test_columns_that_differ_in_case_are_all_kept(
    docs_of: Any, capsys: Any, given: list[str], expected: list[str]
) -> None:
    values = list(range(len(given)))
    docs = docs_of([{"text": "the war", **dict(zip(given, values, strict=True))}])
    assert docs.column_names[6:] == expected
    ((*found,),) = duckdb.sql("from docs").fetchall()
    assert found[6:] == values and duckdb.sql("from docs").columns[6:] == expected
    assert ("SQL ignores the case" in capsys.readouterr().err) == (given != ["Year"])


def test_spellings_of_different_rows_are_kept_too(docs_of: Any) -> None:
    docs = docs_of([{"text": "the war", "Year": 1}, {"text": "the war", "year": 2}])
    assert docs["Year_capitalized"].to_pylist() == [1, None]
    assert docs["year"].to_pylist() == [None, 2]


@pytest.fixture
def dolma(tmp_path: Path) -> Path:
    path = tmp_path / "dolma.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in DOLMA))
    return path


def test_a_column_that_the_user_names_counts_although_it_repeats(
    dolma: Path, run_folder: Path, tmp_path: Path, ingest: Ingest
) -> None:
    store = tmp_path / "s"
    line = ("run", run_folder, "--text", dolma, "--store", store)
    ended = ingest(*line, "--document-column", "source")
    assert (ended.status, ended.error) == (0, "")
    docs = pq.read_table(store / "docs.parquet")
    assert docs["source"].to_pylist() == ["common-crawl"] * 14
    assert docs["id"].to_pylist() == [f"d{i}" for i in range(14)]
    assert read_manifest(store / "manifest.json").options["document_column"] == "source"
    again = ingest(*line)
    assert again.status == 2
    assert "made with another --document-column (document_column source, now None)" in again.error


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("page", "has a row without 'page', which --document-column names; its columns are added"),
        ("text", "--document-column text is the column of the text: name another"),
    ],
)
def test_a_column_that_cannot_name_documents_is_refused(
    dolma: Path, run_folder: Path, tmp_path: Path, ingest: Ingest, column: str, sentence: str
) -> None:
    line = ("run", run_folder, "--text", dolma, "--store", tmp_path / "s")
    ended = ingest(*line, "--document-column", column)
    assert ended.status == 2
    assert sentence in ended.error


def test_a_plain_text_has_no_column_that_could_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the war")
    with pytest.raises(IngestError, match=r"a\.txt has no columns, but --document-column id names"):
        list(open_text(tmp_path, document_column="id").documents)
