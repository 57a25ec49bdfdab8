"""What a run writes: the store's files, locks between processes, copies at URLs."""
