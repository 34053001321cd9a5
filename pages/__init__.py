"""What every page of the panel has: its tags, the middleware around it, the reader's language."""
