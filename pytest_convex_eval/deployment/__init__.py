"""Where answers are pushed: deployments of three kinds, and the CLI that pushes to them."""
