"""What a run leaves: its record, the terminal summary, the JUnit properties."""
