"""Constructions: the networks of the proofs, as real weights in the model class that is trained elsewhere.

What lives here: position codes (``codes``), weights by name (``wiring``), one file per construction (``lookup``,
``pairwise``, ``neighbour``, ``dyck``), the inputs of a task in full (``inputs``), and the proofs: certificates that
bound the error of every input (``certificates``), exhaustive and randomised checks (``verifying``), and where precision
ends (``precision``). What may not: task definitions and samplers, training, and model code of its own.
"""
