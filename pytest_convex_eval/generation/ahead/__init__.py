"""Replies are made before they are needed, with one limiter and one budget."""
