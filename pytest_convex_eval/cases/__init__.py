"""The cases: a YAML file becomes a model, a collector and items."""
