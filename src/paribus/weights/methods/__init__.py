"""Merge methods, one a file with its reference. What may not live here: files, directories, names of architectures."""
