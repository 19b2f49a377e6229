"""Inference: one ``Engine`` protocol (requests in, replies in the same order out) and the engines that speak it.

What lives here: ``engine`` (records and protocol), ``local`` (a model in this process), ``endpoint`` (any
OpenAI-compatible server), ``scripted`` (rules, for tests and planted truth), ``request_cache`` (paid answers kept).
What may not: judging, scoring of quality, training, and anything that knows of stages or studies.
"""
