"""Paribus: controlled comparisons for multilingual language models.

Importing the package does no work, loads no heavy library and touches no network; rooms are imported by name
(``from paribus.weights import merge``).
"""

__version__ = "0.1.0"
