"""A store that grows: its last step, and new checkpoints that are shown by themselves."""

import time

import streamlit as st

from queries import Store
from views.answers import version_of

EVERY = 3.0
"""Seconds between two looks at the store's folder."""
_RECENT = 3_600.0  # seconds
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def describe(store: Store) -> None:
    """The last step and its age, the toggle *Follow*, and what to do about files that changed.

    Only a fragment runs until there is something new.
    """
    follows = not store.url and st.toggle(
        "Follow",
        is_growing(store),
        key="follow",
        persist_state="session",
        help=f"Looks every {EVERY:.0f} seconds for new checkpoints, and shows them.",
    )
    st.fragment(_look, run_every=EVERY if follows else None)(store, follows)


def is_growing(store: Store) -> bool:
    """Was a checkpoint scored within the last hour, and are there more to come, or may there be?"""
    if time.time() - store.files.last_scored > _RECENT:
        return False
    checkpoints = store.checkpoints
    failed = checkpoints.loc[checkpoints["error"].notna(), "checkpoint"]
    missing = {*(store.manifest.planned or ())} - {*store.steps, *failed}
    return store.manifest.recorded or bool(missing)


def _look(store: Store, follows: bool) -> None:
    state = store.files.state()
    if state == "new checkpoints" and follows:
        version_of.clear()
        st.rerun()
    age = _age(time.time() - store.files.last_scored)
    st.caption(f"Last step {store.steps[-1]:,}, scored {age} ago")
    if state == "new checkpoints":
        st.info("New checkpoints were scored after this store was opened.")
        st.button("Show new checkpoints", on_click=version_of.clear, key="show_new")
    elif state == "replaced":
        st.warning("This store's files changed after it was opened: what is shown is out of date.")
        st.button("Open it again", on_click=version_of.clear, key="show_new")


def _age(seconds: float) -> str:
    """In the largest unit of which it has at least two."""
    unit, size = next((u for u in _UNITS if seconds >= 2 * u[1]), _UNITS[-1])
    return f"{max(seconds, 0) // size:.0f} {unit}"
