"""Runs held against each other: which is better, and may this be merged."""
