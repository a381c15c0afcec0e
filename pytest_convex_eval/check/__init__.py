"""Checks a Convex project on disk with the stages of an item, and without a case."""
