"""The pages of the app: one file each, and the charts that they draw."""
