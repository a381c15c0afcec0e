"""The stages, one module each, behind one small protocol."""
