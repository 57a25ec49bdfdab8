"""Copy a link: a button that puts the page's address, which holds its state, on the clipboard."""

import streamlit as st

_COPY = st.components.v2.component(
    "token_trails_copy",
    html='<button type="button">Copy link</button>',
    css="""
button {
  padding: 0.35rem 0.8rem;
  border: 1px solid var(--st-border-color);
  border-radius: var(--st-base-radius);
  background: var(--st-primary-color);
  color: #fff;
  font: inherit;
  font-family: var(--st-font);
  cursor: pointer;
}
button:focus-visible { outline: 2px solid var(--st-text-color); outline-offset: 2px; }
""",
    js="""
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button")
  button.onclick = async () => {
    await copy(window.location.href) // it has the page's own widgets as they are now
    button.textContent = "Copied"
    setTimeout(() => (button.textContent = "Copy link"), 2000)
  }
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  // Browsers offer the clipboard only over https and on the same machine.
  const field = document.createElement("textarea")
  field.value = text
  document.body.append(field)
  field.select()
  document.execCommand("copy")
  field.remove()
}
""",
)


def copy_button(key: str) -> None:
    """Draw the button."""
    _COPY(key=f"{key}_copy")
