"""The one trainer and its objectives.

What lives here: ``trainer.train`` (a thin subclass of transformers' Trainer over our batch stream), what is minimised
(``objectives/``, one file each), optimizers, exact checkpoints, the choice of the compute path, and reference
log-probabilities. What may not: stages, studies, and anything that knows where its data came from.
"""
