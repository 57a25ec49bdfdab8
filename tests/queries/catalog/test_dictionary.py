"""The dictionary of the SQL page describes everything in a store."""

import pytest

from queries import Store
from queries.catalog import dictionary
from queries.questions import questions
from store import schema


def test_every_column_has_a_type_and_a_meaning(demo: Store) -> None:
    told = dictionary.columns(demo)
    assert list(told["relation"].unique()) == list(dictionary.RELATIONS)
    for relation in dictionary.RELATIONS:
        described = demo.sql(f"describe {relation}")
        of_it = told[told["relation"] == relation]
        assert of_it["column"].tolist() == described["column_name"].tolist()
        assert of_it["type"].tolist() == described["column_type"].str.lower().tolist()
    own = told[told["meaning"] == "from the text source, or a feature computed later"]
    assert set(own["column"]) == {"year", "president", "party"}


@pytest.mark.parametrize(
    ("relation", "columns"),
    [
        ("losses", schema.LOSSES.names),
        ("tokens", schema.TOKENS.names),
        ("docs", schema.DOCS.names),
        ("probes", [name for name in schema.PROBES.names if name != "weights_sha256"]),
        ("checkpoints", [*schema.CHECKPOINTS.names, schema.DUPLICATE_OF.name]),
    ],
)
def test_every_column_of_the_store_is_described(relation: str, columns: list[str]) -> None:
    assert all(
        dictionary.meaning(relation, c) != "from the text source, or a feature computed later"
        for c in columns
    )


@pytest.mark.parametrize("call", dictionary.MACROS)
def test_every_macro_can_be_called_as_documented(demo: Store, call: str) -> None:
    if call.startswith("loss_at"):
        assert demo.sql(f"select {call} as loss from tokens limit 3")["loss"].notna().all()
    else:
        assert len(demo.sql(f"from {call}"))


def test_every_question_has_a_title() -> None:
    assert len(questions()) >= 10
    assert all(q.title.endswith("?") and "--" not in q.title for q in questions())
