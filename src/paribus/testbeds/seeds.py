"""Seeds of draws that no training stream shares; light, so that plans can read them.

Streams of training are drawn by the seeds of runs, which are small numbers; these are far above them.
"""

CHOICE_SEED = 10**6
"""Of the sequences or prompts that choose a learning rate."""
TEST_SEED = CHOICE_SEED + 1
"""Of those that results are reported on; the same ones for every model."""
