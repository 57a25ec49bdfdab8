"""Parts of pages that are drawn in the browser: a Python file, its JavaScript and its styles."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st


def component(file: str, html: str) -> Callable[..., Any]:
    """The component whose .js and .css stand next to its Python `file`; call it to draw it."""
    path = Path(file)
    css, js = (path.with_suffix(end).read_text(encoding="utf-8") for end in (".css", ".js"))
    return st.components.v2.component(f"token_trails_{path.stem}", html=html, css=css, js=js)
