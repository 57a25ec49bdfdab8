"""Can the group builder's fields show a template as it is? Else they would change it unseen."""

from typing import Any

from queries import Store

LARGEST = 2**53 - 1  # of a browser's numbers


def fits(store: Store, data: dict[str, Any]) -> bool:
    """Whether the fields for such a template, given as data, give the same one again."""
    if any(isinstance(v, int) and v > LARGEST for v in data.values()):
        return False
    match data["kind"]:
        case "words":
            return all("," not in word and word == word.strip() for word in data["words"])
        case "previous":
            return all('"' not in token for token in data["tokens"])
        case "changed":
            return {data["first"], data["last"]} <= set(store.steps)
        case "docs":
            return max(data["docs"]) < store.manifest.n_docs
        case "sources":
            return set(data["sources"]) <= set(store.sources)
        case _:
            return True
