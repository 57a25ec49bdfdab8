"""Stores: which ones can be opened, and what the sidebar says of the open one."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from queries import QueryError, Store
from queries.engine import remote
from queries.report.numbers import count
from views import follow
from views.answers import open_store, version_of

WORDS = (
    "A *source document* is one text of the corpus; bands treat source documents as the sampled "
    "unit. A *doc* is a window that the model saw at once. A source document longer than the "
    "context is cut into *parts*, each of which is one doc."
)


PAGES_OF_RUNS = ("trajectories", "compare", "positions", "zoom")
"""Pages that draw several runs at once."""
NAMED = 3
"""Stores that a sentence names."""


def say_which_run(page: str, store: Store, runs: Sequence[str]) -> None:
    """On a page of one run, say which one it is if the user compares several."""
    if not runs or page in ("", *PAGES_OF_RUNS):
        return
    others = f"{len(runs)} other run{'s are' if len(runs) > 1 else ' is'}"
    st.caption(
        f":material/info: This page shows one run, `{store.path}`. The {others} shown on "
        "Trajectories, Zoom, Compare runs and Loss by position and step; open another run with "
        "*Store* in the sidebar."
    )


def say_which_differ(page: str, store: Store, others: Sequence[str]) -> None:
    """On a page of several runs, name the open stores that cannot be compared, and why."""
    if (page or "trajectories") not in PAGES_OF_RUNS or not others:
        return
    reasons = _differences(store, others)
    if not reasons:
        return
    named = "; ".join(f"`{path}`: {why}" for path, why in list(reasons.items())[:NAMED])
    more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    st.caption(f":material/info: Not comparable with `{store.path}` token by token: {named}{more}.")


def _differences(store: Store, others: Sequence[str]) -> dict[str, str]:
    """The path of each store that holds other tokens or cannot be opened, and the reason."""
    reasons = {}
    for path in others:
        try:
            other = open_store(path, version_of(path), None)
        except QueryError as error:
            reasons[path] = f"it cannot be opened ({error})".rstrip(".")
            continue
        if other.manifest.token_fingerprint != store.manifest.token_fingerprint:
            reasons[path] = _difference(store, other)
    return reasons


def _difference(first: Store, second: Store) -> str:
    """The first fact about the second store that explains why the tokens differ."""
    own, other = first.manifest, second.manifest
    if other.tokenizer_sha256 != own.tokenizer_sha256:
        return "it has another tokenizer (see Compare tokenizers)"
    if other.text != own.text:
        return f"it was scored on another text, {other.text}"
    if other.context_length != own.context_length:
        return (
            f"its context length is {other.context_length:,} tokens instead of "
            f"{own.context_length:,}"
        )
    if other.n_tokens != own.n_tokens:
        return f"it holds {other.n_tokens:,} tokens instead of {own.n_tokens:,}"
    return "it holds other tokens (their fingerprints differ)"


def stores(paths: Sequence[str]) -> list[str]:
    """The stores at these paths; a folder of stores is replaced by the stores in it."""
    found: list[str] = []
    for path in paths:
        inside = [] if remote.is_url(path) or remote.is_store(path) else _inside(Path(path))
        found += inside or [path]
    return list(dict.fromkeys(found))


def same_tokens(store: Store, others: Sequence[str]) -> list[Store]:
    """Those of the other stores that have the same tokens, so that runs can be compared."""
    fingerprint = store.manifest.token_fingerprint
    return [o for o in _opened(others) if o.manifest.token_fingerprint == fingerprint]


def same_text(store: Store, others: Sequence[str]) -> list[Store]:
    """Those of the other stores with documents of the same names, whatever their tokens."""
    return [other for other in _opened(others) if {*other.sources} & {*store.sources}]


def _opened(paths: Sequence[str]) -> list[Store]:
    found = []
    for path in paths:
        with contextlib.suppress(QueryError):  # its own page says why
            found.append(open_store(path, version_of(path), None))
    return found


def summary(store: Store) -> str:
    """Model, text and size in one line, for a page that is saved."""
    manifest = store.manifest
    size = f"{count(len(store.steps), 'checkpoint')}, {count(manifest.n_tokens, 'token')}"
    return f"{manifest.model}: {size} of {manifest.text}"


def describe(store: Store) -> None:
    """The summary and the warnings, in the sidebar."""
    manifest = store.manifest
    with st.sidebar:
        st.markdown(f"**{manifest.model}**")
        st.caption(
            f"{_steps(store.steps)}  \n"
            f"{count(manifest.n_tokens, 'token')} in {count(manifest.n_docs, 'doc')} of "
            f"{manifest.text}  \n"
            f"context {manifest.context_length:,} tokens, "
            f"{f'BOS {manifest.bos} before each doc' if manifest.bos else 'no BOS'}  \n"
            f"scored in {manifest.dtype}, attention {manifest.attention}",
            help=WORDS,
        )
        _tell_origin(store)
        _warn(store)
        follow.describe(store)
        if store.functions_changed:
            _offer_reload(store)


def _steps(steps: Sequence[int]) -> str:
    if len(steps) == 1:
        return f"1 checkpoint, step {steps[0]:,}"
    return f"{len(steps):,} checkpoints, steps {steps[0]:,} to {steps[-1]:,}"


def _tell_origin(store: Store) -> None:
    """Of an imported store: from what, and what it cannot have."""
    imported = store.manifest.imported
    if imported is None:
        return
    st.info(
        f"Imported from another tool's results ({imported['format']}, {imported['unit']}, "
        f"{imported['dtype']})."
    )
    with st.expander("What is not available"):
        for name, why in store.manifest.unavailable.items():
            st.markdown(f"`{name}`: {why}")
        for note in imported["notes"]:
            st.markdown(f"Note: {note}")


def _warn(store: Store) -> None:
    checkpoints = store.checkpoints
    failed = int(checkpoints["error"].notna().sum())
    if failed:
        st.warning(
            f"{failed} checkpoint{'s' if failed > 1 else ''} failed: see the table "
            "`checkpoints` on the SQL page"
        )
    if "duplicate_of" not in checkpoints:
        return
    same = checkpoints[checkpoints["duplicate_of"].notna()]
    if len(same):
        first = same.iloc[0]
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        st.warning(
            f"Step {int(first['checkpoint']):,} has exactly the same weights as step "
            f"{int(first['duplicate_of']):,}{more}: one of them was published under a wrong name"
        )


def _offer_reload(store: Store) -> None:
    st.info("A file of functions changed after it was loaded.")
    if st.button("Reload functions", key="load_functions"):
        try:
            store.reload_functions()
        except QueryError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.cache_data.clear()
            st.rerun()


def _inside(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [str(path) for path in sorted(folder.iterdir()) if remote.is_store(path)]
