"""Formal tasks: exact samplers, scoring, lower bounds, reductions, and constructions that attain the upper bounds.

What lives here: everything that separates architectures by proof or by exhaustive check (Bhattamishra, Hahn, Blunsom
and Kanade 2024), and the protocol that fits an architecture to a task (``probing``). What may not: training loops and
models' definitions.
"""
