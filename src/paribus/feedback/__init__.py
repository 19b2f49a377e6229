"""What judges answers and what is made of the judgements.

What lives here: sampling of answers, arbiters that score them, teacher pools and routers (data arbitrage), preference
pairs, judges that compare two models, and the monitors of online preference training. What may not: gradients (they are
in ``training``), win-rate statistics (``evaluation``), stages and studies.
"""
