"""Where stages run: a pool of processes on this machine, Slurm, Ray, or the calling process itself.

A launcher gets addresses and answers with outcomes; what an address means, the worker reads from the store. Nothing
about graphs, studies or models belongs here.
"""
