"""Charts: pure functions from data frames to Altair charts. No SQL, no Streamlit, no state.

One module per family: `curves` (values over training), `changes` (single tokens in a region),
`heat_map` (loss by position), `analyses` (one function per analysis), `quick` (any query's answer).
`theme` holds what they share, and `render` writes files.
"""
