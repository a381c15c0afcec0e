"""Anthropic's models, through its SDK."""
