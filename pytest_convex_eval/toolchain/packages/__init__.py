"""What is installed once a machine: Node, npm packages, tools, dependency sets."""
