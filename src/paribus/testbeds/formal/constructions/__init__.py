"""Constructions: the networks of the proofs as real weights in the model class that is trained elsewhere, and their proof.

What lives here: position codes (``codes``), one file per construction (``lookup``, ``pairwise``, ``neighbour``, ``dyck``),
the inputs of a task in full (``inputs``), certificates that bound the error of every input (``certificates``), exhaustive
and randomised checks (``verifying``) and the precision at which a construction breaks (``precision``). What may not: task
definitions and samplers (they are one room up), training, and model code of its own.
"""
