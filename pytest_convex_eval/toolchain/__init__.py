"""The pinned programs that look at an answer without running it."""
