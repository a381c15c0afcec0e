"""Answers that lie on disk, as a model that is asked for nothing."""
