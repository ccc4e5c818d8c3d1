"""Finite-sample bounds on disparities, for certificates: what may be claimed of people who were held back.

    outward     decimals rounded away from the truth, so that a checker with exact arithmetic agrees
    order       orders and choices of rows that are fixed before any score is seen

    binomial    Clopper-Pearson ends; tails of differences of two binomials
    exact2      rates: how much larger one group's can be, from counts of independent units
    betting     rates and means when units give several rows; scores; counterfactuals
    thresholds  all thresholds at once

    gate        many comparisons, one verdict
    needed      how many units a verdict would need

    shift       the worst law in a ball: dual points; breakdown radius
    primal      a law that attains it, by cvxpy: how tight the dual is
    mixture     exact check of a mixture of iterates
    repair      what parity would cost, with shadow prices; dev-audit only

    policy      what must be shown, from faro.toml
    columns     the cells of a scored table
    audit       the audit table, checked and digested
    cells       who is counted where, with what mass
    claims      bounds of one claim about people, by its method
    optimum     claims about tables of models: mixtures, linear heads
    overlap     whether training saw an audited unit
    certificate all claims of a policy, sealed
    ledger      who looked at an audit set, and what each look may spend
    looks       tune, gate, disclose: what each may show

The functions above the policy are pure and take plain arrays. Formulas and proofs: docs/statistics.md; the files:
docs/certificate-format.md.
"""
