"""Errors of users' queries: what was found, what to write instead, and where."""

import pytest

from queries import QueryError, Store
from queries.engine.sql_errors import SqlError


@pytest.mark.parametrize(
    ("query", "sentence", "at"),
    [
        ("select positoin from tokens", "no column positoin: did you mean position[?]", 7),
        ('select "Obama" from tokens', "write text in single quotes, as in 'Obama'", 7),
        ("select loss from tokens", "read it from losses, or write loss_at", 7),
        ("select t.nope from tokens as t", "t has no column nope", 7),
        ("select * from token", "no table or group token: did you mean tokens[?]", 14),
        ("select avgg(loss) from losses", "no function avgg: did you mean avg[?]", 7),
        ("select sum(token_str) from tokens", r"found sum\(VARCHAR\), expected sum\(DEC", 7),
        ("from zoom(1)", r"expected zoom\(first, last\)", None),
        ("select doc, avg(loss) from losses", "group by all", 7),
        (
            "select doc from tokens as t join losses as l on t.row = l.loss",
            "write t.doc or l.doc",
            7,
        ),
        ("selec 1", "begins with select", 0),
        ("select * from tokens group by", "the query ends after by", 27),
        ("select * form tokens", "found tokens, which SQL does not allow here", 14),
        ("select 'it''s", "without its closing quote", 7),
        ("select", "expected columns", None),
        ("select 1 from tokens where avg(position) > 1", "in having", 27),
        ("select 'ü', 'abc'::int", "found the text 'abc'", 17),
    ],
)
def test_an_error_says_what_was_found_and_where(
    store: Store, query: str, sentence: str, at: int | None
) -> None:
    with pytest.raises(SqlError, match=sentence) as caught:
        store.sql(query)
    assert caught.value.at == at
    assert "Error:" not in str(caught.value)


def test_an_unknown_message_keeps_its_words(store: Store) -> None:
    with pytest.raises(QueryError, match="LIMIT/OFFSET cannot be negative"):
        store.sql("from losses limit -1")
