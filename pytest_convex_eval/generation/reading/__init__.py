"""A reply in text becomes the files of an answer."""
