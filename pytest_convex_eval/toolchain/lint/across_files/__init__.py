"""Convex's pitfalls as rules: a lint plugin in JavaScript, and what is decided over all files."""
