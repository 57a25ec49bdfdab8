"""Parts of pages that are drawn in the browser: a Python file, its JavaScript and its styles."""
