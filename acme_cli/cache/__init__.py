"""What was asked before, kept on disk."""
