"""Models of people who differ: each reads a few earlier choices of a person, its `support`, before it is asked about
the others. None has a table of parameters by person: a person's earlier choices are the parameters, so a new person is
treated as a known one, and one without earlier choices is predicted as anybody.

    weights       what earlier choices say of a person's weights: a normal law at its mode, by Newton's steps
    roots         roots of many small matrices at once, without LAPACK
    tastes        `Tastes`, what the next four share: what everybody likes, and directions in which people differ
    constants     `PersonConstants`: people differ in level (or in a habit of place), and in no taste
    mixed         `MixedLogit`: every weight differs, with a full covariance
    pref          `PReF`: few directions of taste, of low rank
    pebs          `PEBS`: one taste, which people follow more or less sharply, and levels
    latent_class  `LatentClass`: a person is of one of a few kinds
    shares        `Shares`, what the next two share: weights of a person on the simplex
    lore          `LoRe`: a person mixes a few rewards
    ideal_point   `IdealPoint`: a person has a point among prototypes, and likes what is near (PAL)
    vpl           `VPL`: an encoder of the earlier choices, a latent vector, a decoder
    gpo           `GPO`: a transformer over the earlier choices
    plus          `PLUS`: a summary of the earlier choices in one phrase, learned with the rewards that read it
"""
