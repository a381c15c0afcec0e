"""Where answers are pushed: the embedded deployment and the official CLI that pushes to it."""
