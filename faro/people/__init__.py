"""People who disagree: what a table of choices says of the people who made them, before any model is trained; and what
each person's own taste is, how sure that is, and what to ask next.

disagree  all that follows, of one data set, as one record: `faro disagree`
votes     who chose what of which item: two people who were asked the same have the same item
estimate  a figure with its interval, or the reason why there is none; intervals over people and items
shares    how much of the choices is shared by all, level, or the rest; order against level
taste     what of a person's taste is foretold by a low-rank model, out of fold
ceiling   how well one answer for everybody can do
majority  whom a majority serves, again and again; pairs whose majority goes against the common order
groups    which declared groups of people differ, beside people dealt to groups at random
placebo   groups dealt to people at random: the control of what learns from groups
summaries  what people chose before, in words: texts that any model of texts reads: `faro summarise`
consistency  which answers are preferences: genuine, constructed, or none; weights of rows: `faro types`
words     the record in plain words, for terminals and pages

pebs         each rater's slope and intercept on a rating scale, shrunk towards the population's (PEBS)
questions    which pairs to ask a new person, and what the answers say: D-optimal, PReF's criterion, BALD
mixed_logit  weights that differ between people by a normal law, fitted by simulated likelihood
kinds        latent classes of a table, by expectation and maximisation with restarts
neighbours   what people who answered alike said of the same question, after any model: `faro neighbours`
spo          rewards as chances to be preferred, alike for everybody: `faro calibrate --spo`
ask          a dialogue of such questions with a new person, of a saved model: `faro ask`
ratings      what calibration makes of a model's rewards, on a table that also has ratings: `faro pebs`

pebs, questions, mixed_logit and kinds are functions of arrays, which know nothing of tables.
"""
