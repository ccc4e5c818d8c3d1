"""Figures of models on data: of every trial in float64, how sure they are, and which are not dominated.

trials        the figures of every trial from its saved parameters, which answers a bound, and its status
bootstrap     how sure they are: intervals over people and seeds, written as uncertainty.csv and hypervolume.csv
part          what every person of a part adds to figures, and figures when people are drawn again
resampling    people drawn again with replacement: multiplicities, percentile intervals
simultaneous  an upper bound of every member's gap in the population, all of them at once
subsets       what a saved model reaches on the subsets that a column names
calibration   what rewards are worth as probabilities, in all and in each group
flips         how often a decision changes with an attribute, by twins
bias          scores of questions about two people, as BBQ has them
pareto        who is not dominated, and how much a set of points dominates
"""
