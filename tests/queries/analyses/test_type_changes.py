"""Changes of token types equal plain SQL; invalid arguments are refused."""

import numpy as np
import pytest

from queries import QueryError, Store, type_changes

QUESTION = """
select token_id, any_value(token_str) as token_str, count(*) as n_tokens,
    avg(b.loss - a.loss) as change, stddev_samp(b.loss - a.loss) as standard_deviation
from tokens
join losses as a using (doc, position, token_id, token_str)
join losses as b using (doc, position, token_id, token_str)
where a.checkpoint = 8 and b.checkpoint = 400 and tokens.seen_before > 0
group by token_id having count(*) >= 3 order by change
"""


def test_types_change_as_in_plain_sql(store: Store) -> None:
    found = type_changes(store, (8, 400), where="seen_before > 0", min_count=3).frame
    truth = store.sql(QUESTION)
    assert len(found) > 3
    assert found["token_str"].tolist() == truth["token_str"].tolist()
    for column in ("n_tokens", "change", "standard_deviation"):
        np.testing.assert_allclose(found[column], truth[column], rtol=1e-5, atol=1e-6)


def test_invalid_arguments_are_refused(store: Store) -> None:
    with pytest.raises(QueryError, match="no token type occurs 10,000,000 times"):
        type_changes(store, (8, 400), min_count=10_000_000)
    with pytest.raises(QueryError, match="is empty"):
        type_changes(store, (400, 8))
