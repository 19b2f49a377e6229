"""Formal tasks: exact samplers, scoring, lower bounds, reductions, and constructions that attain the upper bounds.

What lives here: everything that separates architectures by proof or by exhaustive check (Bhattamishra, Hahn, Blunsom
and Kanade 2024). What may not: training loops, models' definitions, and anything learned.
"""
