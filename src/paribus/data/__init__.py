"""From records to batches: sources, mixtures, tokenizers, chat encoding, packing, and the batch stream.

What lives here: plain functions and classes that turn rows into token arrays with exact accounting, every one a pure
function of its inputs and seed. What may not: models, training, and anything that knows a task's right answer.
"""
