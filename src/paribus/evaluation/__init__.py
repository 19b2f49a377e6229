"""Measuring models: suites of checked prompts, text metrics, judged games and what is read off them.

What lives here: running an engine over prompts and grading it, item rows, exact match and chrF++, bits per byte, choice
questions by likelihood, routing maps of mixtures, win rates under three named definitions, position bias, Bradley-Terry
ratings, rankings with groups of models not told apart, style and length control, the quality of a benchmark,
multilingual prompt sets, published files (AlpacaEval, Arena-Hard-Auto, m-ArenaHard), and reward models on pairs
(RewardBench, PandaLM, length bias, best-of-n, counterfactual critiques, critics, what a pair is worth in plain data).
What may not: training, judging (``feedback``), studies, stages or charts. Every table that can be split by language is,
and carries intervals from ``paribus.statistics``.
"""
