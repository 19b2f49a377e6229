"""Constructions: the networks of the proofs, as real weights in the model class that is trained elsewhere.

What lives here: position codes (``codes``), weights by name (``wiring``), one file per construction (``lookup``,
``pairwise``, ``neighbour``, ``dyck``) and which there are for a task (``catalogue``); every input of a task
(``inputs``); and the proofs: certificates that bound the error of every input (``certificates``, ``construction``),
exhaustive and randomised checks (``verifying``), a walk through all states of a recurrent net (``reachable``), and
where precision ends (``precision``). What may not: task definitions and samplers, training, model code of its own.
"""
