"""People (or models) rate answers, and what those ratings are worth.

What lives here: what a rating is (``schema``), which outputs are shown side by side to whom (``design``), what is taken
out before anything is counted (``checks``), the five preambles that change an answer's manner (``preambles``), raters
whose weights and biases are planted (``simulated``) or are a model's (``machine``), and the audit: tables,
aggregation, regression of quality on errors, confounders, assertiveness. What may not: web servers
(``feedback.server``) and pages (``report``). Source: "Human Feedback is not Gold Standard" (arXiv 2309.16349).
"""
