"""A second region of training: do the same tokens change again, more than chance would have it?"""

import streamlit as st

from queries import QueryError, Store
from views import answers, region
from views.region import Region


def show(
    store: Store, chosen: Region, where: str, k: int, min_count: int | None, default: Region
) -> None:
    """The region's widgets, and what its most changed tokens share with the first one's."""
    st.subheader("The same tokens in a second region?")
    second = region.choose(store, "Second region", "second_", default)
    try:
        shared = answers.overlap(store, answers.key(store), chosen, second, where, k, min_count)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.dataframe(
        shared,
        hide_index=True,
        column_config={
            "set_in_first": f"in {chosen[0]:,} to {chosen[1]:,}, most",
            "set_in_second": f"in {second[0]:,} to {second[1]:,}, most",
            "k_first": "n first",
            "k_second": "n second",
            "shared": "shared",
            "expected": st.column_config.NumberColumn("by chance", format="%.2f"),
            "p_value": st.column_config.NumberColumn("p (chance)", format="%.2g"),
            "expected_usual": st.column_config.NumberColumn("usual", format="%.2f"),
            "p_usual": st.column_config.NumberColumn("p (usual)", format="%.2g"),
            "n_regions": None,
        },
    )
    st.caption(
        "By chance: what two lists of these sizes would share if drawn at random. Usual: if each "
        "token moved in the second region as it does in other regions of its width, since some "
        "tokens always move more. p: how often as many or more would be shared."
    )
    if chosen[1] == second[0]:
        st.caption(
            f"Both regions hold step {second[0]:,}, whose noise alone makes tokens move and move "
            "back: begin the second one a step later to be rid of that."
        )
