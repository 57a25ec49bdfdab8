"""Where checkpoints come from: folders and repositories on the Hugging Face Hub."""
