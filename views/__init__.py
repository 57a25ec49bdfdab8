"""The app: one file per page in `pages`, the controls they share in `widgets`."""
