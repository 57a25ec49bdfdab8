"""The dictionary of the SQL page describes everything in a store; Store.sql runs the questions."""

import pandas as pd
import pytest

from queries import Store
from queries.catalog import dictionary
from queries.questions import Question, questions
from store import schema
from store.layout import Layout
from tests.queries.support.catalogs import ask


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


@pytest.mark.parametrize("question", questions(), ids=lambda q: q.name)
def test_every_question_has_the_same_answer_in_the_catalog(demo: Store, question: Question) -> None:
    assert question.title.endswith("?") and "--" not in question.title
    demo.make_catalog()
    theirs = ask(Layout(demo.path).catalog, question.text)
    pd.testing.assert_frame_equal(demo.sql(question.text), theirs, check_dtype=False)
