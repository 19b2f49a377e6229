"""The stages that studies are made of: each binds one part (a plain function of floors 2 to 4) to a cached artifact.

A stage reads its parents' directories, calls parts, writes files and returns what it cost. Methods live in the parts,
comparisons in the studies. Heavy libraries are imported inside the stage bodies, so that a graph is built in
milliseconds and without torch.
"""
