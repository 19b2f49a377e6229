"""One file per paper, readable as its method section; ``stages.py`` binds the parts to cached stages.

This is the only room that joins the lab with the parts. A study file declares settings per scale, builds the graph of
its arms, and states the contrasts and the paper's claims as data. No method is implemented here.
"""
