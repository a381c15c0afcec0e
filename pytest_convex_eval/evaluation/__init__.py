"""Takes one plan to its result."""
