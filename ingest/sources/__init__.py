"""Where checkpoints come from: folders, the Hub, families of revisions."""
