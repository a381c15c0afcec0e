"""Tools that stay loaded, and are shared by the workers of a machine."""
