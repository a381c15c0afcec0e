"""What a case expects of a backend, and whether what was deployed is that."""
