"""What a sample of trials says: pure functions over counts, from the standard library alone."""
