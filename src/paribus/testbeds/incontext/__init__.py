"""Learning Boolean functions from examples in the context (arXiv 2310.03016, "ICL-Discrete" below).

What lives here: prompts of labelled points (``prompts``), the function classes that label them (``classes``, one file a
family), sequences that teach a function (``teaching``, ``teaching_dimension``), learners to compare a model with,
curves, scores of attention heads, vector heads on pre-trained bodies, and the same protocol in text. What may not:
training loops, studies, stages and charts. Sampling takes a CPU ``torch.Generator``: equal seeds give equal prompts.
"""
