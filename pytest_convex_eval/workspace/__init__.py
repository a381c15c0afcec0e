"""An answer on disk: safe paths, the files that the harness owns, linked dependencies."""
