"""Test-beds: small worlds with exact answers, in which what an architecture can do is measured against what is known.

What lives here: ``formal/`` (tasks with proven bounds, constructions, calculators), ``incontext/`` (function classes
learned within a prompt, and the learners to beat), and what both share to fit models. Plain functions on plain inputs,
over training, inference, models and data. What may not: stages, studies, evaluation and feedback.
"""
