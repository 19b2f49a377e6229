"""Pages and tables made from stored results alone: the study page, the scoreboard of claims, their terminal forms.

What lives here: formatting of numbers, validation of panel data, charts as HTML and SVG, the templates and the style
sheet. What may not: training, evaluation, reading a store, or computing a statistic; a number that is not in the
stored result is not on the page (the only arithmetic is ratios of stored costs, differences between ladder rungs, and
which of the stored values are best: of a column, or at their cost).
"""
