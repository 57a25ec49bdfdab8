"""What a store is: the picker's choices, the summary in the sidebar, what to be wary of."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from queries import QueryError, Store
from queries.engine import remote
from queries.store import NEW, REPLACED
from views.answers import open_store, version_of


def stores(named: Sequence[str]) -> list[str]:
    """The stores that were named; a folder of stores stands for those in it."""
    found: list[str] = []
    for path in named:
        inside = [] if remote.is_url(path) or remote.is_store(path) else _inside(Path(path))
        found += inside or [path]
    return list(dict.fromkeys(found))


def alike(store: Store, others: Sequence[str]) -> list[Store]:
    """Of other stores those of the same tokens, so that runs can be compared; opened once."""
    opened = []
    for path in others:
        try:
            other = open_store(path, version_of(path), None)
        except QueryError:
            continue  # its own page says why
        if other.manifest.token_fingerprint == store.manifest.token_fingerprint:
            opened.append(other)
    return opened


def in_a_line(store: Store) -> str:
    """Model, text and size, for a page that is saved."""
    about = store.manifest
    size = f"{len(store.steps):,} checkpoints, {about.n_tokens:,} tokens"
    return f"{about.model}: {size} of {about.text}"


def describe(store: Store) -> None:
    """The summary, in the sidebar."""
    about = store.manifest
    with st.sidebar:
        st.markdown(f"**{about.model}**")
        st.caption(
            f"{len(store.steps):,} checkpoints, steps {store.steps[0]:,} to {store.steps[-1]:,}  \n"
            f"{about.n_tokens:,} tokens in {about.n_docs:,} docs of {about.text}  \n"
            f"context {about.context_length:,} tokens, "
            f"{f'BOS {about.bos} before each doc' if about.bos else 'no BOS'}  \n"
            f"scored in {about.dtype}, attention {about.attention}"
        )
        _warn(store)
        _offer_reopening(store.on_disk)
        if store.functions_changed:
            _offer_reload(store)


def _warn(store: Store) -> None:
    tried = store.checkpoints
    failed = int(tried["error"].notna().sum())
    if failed:
        st.warning(
            f"{failed} checkpoint{'s' if failed > 1 else ''} failed: see the table "
            "`checkpoints` on the SQL page"
        )
    same = tried[tried["duplicate_of"].notna()] if "duplicate_of" in tried else tried[:0]
    if len(same):
        first = same.iloc[0]
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        st.warning(
            f"Step {int(first['checkpoint']):,} has the very same weights as step "
            f"{int(first['duplicate_of']):,}{more}: one of them is published under a wrong name"
        )


def _offer_reopening(state: str) -> None:
    """New checkpoints are shown on request; of a store that was replaced, nothing old may stay."""
    if state == NEW:
        st.info("New checkpoints were scored since this store was opened.")
        st.button("Show new checkpoints", on_click=version_of.clear, key="show_new")
    elif state == REPLACED:
        st.warning("This store's files were changed since it was opened: what is shown is old.")
        st.button("Open it again", on_click=version_of.clear, key="show_new")


def _offer_reload(store: Store) -> None:
    st.info("A file of functions was changed since it was loaded.")
    if st.button("Load functions again", key="load_functions"):
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
