"""Files whole or absent, the layout's names, the manifest, the fingerprint."""

import hashlib
import json
import os
import struct
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pytest

from store import schema
from store.files import leftovers, whole_file
from store.layout import Layout
from store.manifest import FORMAT_VERSION, Manifest, ManifestError, read_manifest, write_manifest

MANIFEST = Manifest(
    model="m",
    text="t",
    tokenizer="k",
    tokenizer_sha256="s",
    context_length=32,
    bos=None,
    bos_id=None,
    dtype="float32",
    attention="sdpa",
    n_docs=1,
    n_tokens=2,
    token_fingerprint="f",
    options={"stride": 16, "max_parts": None},
    versions={"torch": "2"},
)


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.parquet"
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert leftovers(path.parent) == [temporary]
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, stop: type[BaseException]) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("old")
    with pytest.raises(stop), whole_file(path) as temporary:
        temporary.write_text("half")
        raise stop
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_our_temporary_files_are_leftovers(tmp_path: Path) -> None:
    for name in (".a.parquet.12.tmp", ".vimrc.tmp", "a.parquet.12.tmp", ".a.parquet", "x.tmp"):
        (tmp_path / name).touch()
    assert [p.name for p in leftovers(tmp_path)] == [".a.parquet.12.tmp"]
    assert leftovers(tmp_path / "gone") == []
    assert leftovers(tmp_path, older_than=60) == []
    os.utime(tmp_path / ".a.parquet.12.tmp", (0, 0))
    assert len(leftovers(tmp_path, older_than=60)) == 1


def test_loss_files_are_found_by_the_step_in_their_name(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.losses.mkdir()
    steps = [400, 9, 12_345_678_901, 0]
    for step in steps:
        layout.loss_file(step).touch()
    assert layout.loss_file(400).name == "checkpoint-000000400.parquet"
    for name in ("checkpoint-5.parquet", ".checkpoint-000000005.parquet.7.tmp", "x.parquet"):
        (layout.losses / name).touch()
    assert list(layout.scored().items()) == [(s, layout.loss_file(s)) for s in sorted(steps)]
    assert Layout(tmp_path / "gone").scored() == {}


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_manifest(MANIFEST, path)
    assert read_manifest(path) == MANIFEST
    entries = json.loads(path.read_text())
    assert (entries["stride"], entries["max_parts"], "options" in entries) == (16, None, False)
    path.write_text(json.dumps({**entries, "of_a_later_version": 1}))
    options = {**MANIFEST.options, "of_a_later_version": 1}
    assert read_manifest(path) == replace(MANIFEST, options=options)
    del entries["recorded"]  # as an older version wrote it
    path.write_text(json.dumps(entries))
    assert read_manifest(path) == MANIFEST


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "has no manifest.json: a store is a folder made by .python -m ingest run"),
        ("{", "cannot be read as JSON"),
        ("\udcff", "cannot be read as JSON"),
        ("[1]", "holds no JSON object"),
        ("{}", "has no format_version"),
        (json.dumps({"format_version": FORMAT_VERSION + 1}), "update Token Trails to open it"),
        (json.dumps({"format_version": FORMAT_VERSION}), "is incomplete .*score the text again"),
        (
            json.dumps({**asdict(MANIFEST), "n_tokens": "2"}),
            "has .2. for n_tokens, expected",
        ),
    ],
)
def test_an_unusable_manifest_gets_a_sentence(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    if content is not None:
        path = tmp_path / "manifest.json"
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ManifestError, match=sentence):
        read_manifest(tmp_path / "manifest.json")


def test_the_fingerprint_is_that_of_the_four_byte_values_column_after_column() -> None:
    columns = {"doc": [0, 0, 1], "position": [1, 2, 1], "token_id": [70_000, 5, 6]}
    values = [value for column in columns.values() for value in column]
    expected = hashlib.sha256(struct.pack("<9i", *values)).hexdigest()
    assert schema.fingerprint(pa.table({**columns, "row": [0, 1, 2]})) == expected
    assert schema.fingerprint(pa.table({**columns, "position": [1, 2, 2]})) != expected
