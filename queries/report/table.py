"""The report's numbers as one table: a line for each question."""

import pandas as pd

from queries.report.nouns import Report


def to_table(found: Report) -> pd.DataFrame:
    """section, title, figures, groups' clauses and sizes, the numbers, and what is seen.

    One line a section; a number that a section has none of is NULL there.
    """
    return pd.DataFrame(
        {
            "section": section.key,
            "title": section.title,
            "figures": ", ".join(e.number for e in section.exhibits),
            "groups": "; ".join(group.clause for group in section.groups),
            "n_tokens": ", ".join(str(group.n_tokens) for group in section.groups),
            "n_docs": ", ".join(str(group.n_docs) for group in section.groups),
            "seen": " ".join(section.seen),
            "compared": " ".join(section.compared),
            "missing": " ".join(section.missing),
            **section.numbers,
        }
        for section in found.sections
    ).convert_dtypes()
