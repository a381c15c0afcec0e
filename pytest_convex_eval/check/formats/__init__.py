"""What a check says, in the forms that people and their tools read."""
