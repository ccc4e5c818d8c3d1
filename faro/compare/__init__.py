"""Methods for people who disagree, side by side on one table: which is worth it there, and for whom.

compare    `compare`: all of it as one record, what `faro compare` prints and writes
names      what methods and questions are called
methods    which methods, and which of them are simpler
questions  which choices answer which question: seen people, new people, new prompts, both new
evidence   methods fitted on paired seeds, and what each says of every choice
figures    what is made of that: means over people, spread, who gains and who loses
shown      what could be certified of a method, read off dev people
sure       intervals of all gains at once, from people who are drawn together
words      the same in plain words
"""
