"""What methods and questions are called."""

AGGREGATE, CONSTANTS = "aggregate", "person_constants"  # the simplest methods, in this order
PROPORTIONAL = "proportional"  # answers of the aggregate, drawn by their probabilities
NEIGHBOURS = "neighbours"  # the aggregate, and what train people who answered alike said of the same question
GROUPED = "group_conditional"  # the aggregate, with the groups of choosers among what it reads
NEW_PEOPLE, BOTH, SEEN_PEOPLE, PROMPTS = QUESTIONS = (
    "new people",
    "both new",
    "seen people, new choices",
    "new prompts",
)
