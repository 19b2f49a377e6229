"""What judges answers and what is made of the judgements.

What lives here: sampling of answers, arbiters that score them (``arbiters``, ``pairwise``) and how good they must be
(``arbiter_sweep``), teacher pools and routers (data arbitrage), preference pairs, games and their judges, and the
monitors of online preference training. What may not: gradients (they are in ``training``), win-rate statistics
(``evaluation``), stages and studies.
"""
