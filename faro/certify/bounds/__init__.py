"""Finite-sample bounds: pure functions of plain arrays, each with its proof in docs/statistics.md.

binomial       Clopper-Pearson ends; tails of differences of two binomials
two_binomials  rates: how much larger one group's can be, from counts of independent units
betting        rates and means when units give several rows; scores; counterfactuals
dkw            all thresholds at once
shift          the worst law in a ball: dual points; breakdown radius
shift_primal   a law that attains it, by cvxpy: how tight the dual is
"""
