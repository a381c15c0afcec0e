"""Replies: prompts, guidelines, providers, the reply parser and the generation store."""
