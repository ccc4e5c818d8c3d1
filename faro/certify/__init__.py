"""Certificates: what may be claimed of people who were held back, and who may look at them.

    bounds           finite-sample bounds: pure functions of plain arrays
    rounding         decimals rounded away from the truth, so that a checker with exact arithmetic agrees
    committed_order  orders and choices of rows that are fixed before any score is seen

    policy           what must be shown, from faro.toml
    drafts           what a model was trained under, as a policy
    showable         which bound people like these could show at all, and by which method
    columns          the cells of a scored table
    scored           a scored table on disk, and beside it what it is
    description      what a scored table says of itself, so that it travels to the certificate
    audit            the audit table, checked, digested and decided
    cells            who is counted where, with what mass
    plugins          cells that a constraint of anybody's makes: in a scored table, and computed again
    claims           bounds of one claim about people, by its method
    plugins          cells of a constraint of anybody's, counted from a scored table
    combine          many comparisons, one verdict
    certificate      all claims of a policy, sealed

    attainable       whether any scores of these people could be certified
    sample_size      how many units a verdict would need
    repair           what parity would cost, with shadow prices; dev-audit only
    statements       what every output says of the audited table, in words

    ledger           who looked at an audit set, and what each look may spend
    access           a look is recognised by its people, not by its file
    modes            tune, gate, disclose: what each may show
    overlap          whether training saw an audited unit
    rules            how a table decides: argmax, or a rule on sets of candidates
    rescore          whether a scored table came from the model
    frontier         certificates of points of a run, disclosed at once or in sequence
    choose           from a frontier to the model that is likely to pass
    dev_people       what the dev people of a run show in the claims of a policy, trial by trial
    predicted        the chance of passing a gate, foretold, and the price of choosing

    mixture          exact check of a mixture of iterates
    optimum          claims about tables of models: mixtures, linear heads

Formulas and proofs: docs/statistics.md; the files: docs/certificate-format.md.
"""
