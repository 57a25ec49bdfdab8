"""The Text page: read a doc token by token, see how each was learned."""

import streamlit as st

from queries import QueryError, Store
from views import answers, docs, largest, reader, shade, text_answers, token_panel


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Text")
    st.caption("How well each token of a text is predicted, and how that changed in training.")
    doc = docs.choose(store)
    shown = shade.choose(store)
    if shown is None:
        return
    found = text_answers.doc(store, answers.key(store), doc)
    try:
        paint = shade.paint(store, shown, found)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    colours = f"membership of the group {shown.group}" if shown.group else shown.what
    title = f"{found.source}, part {found.part}: {len(found.tokens):,} tokens by {colours}"
    row = docs.selected()
    if row is not None and row not in found.tokens["row"].to_numpy():
        docs.select(row := None)  # it is of another store
    reader.show(found, paint, title, row, docs.select)
    if row is None:
        st.caption("Choose a token to see its whole trajectory: click it, or move with the arrow "
                   "keys and press Enter.")  # fmt: skip
    else:
        token_panel.show(store, shown, found, row)
    largest.show(store, shown, found)
