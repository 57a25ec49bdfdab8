"""Controls that pages share: groups, regions, the axis of training, figures, the reader, export."""
