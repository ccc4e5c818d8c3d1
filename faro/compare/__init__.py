"""Methods for people who disagree, side by side on one table: which is worth it there, and for whom.

compare    `compare`: all of it as one record, what `faro compare` prints and writes
names      what methods and questions are called
methods    which methods, what they read, and which of them are simpler
questions  which choices answer which question: seen people, new people, new prompts, both new
evidence   methods fitted on paired seeds, and what each says of every choice
table      what was said, by person: all figures of a row
figures    what is made of that: means over people, spread, who gains and who loses
field      who is served: people on average, the worst group, the tail, by halves of their choices
cold       after so many choices of a person
shown      what could be certified of a method, read off dev people
sure       intervals of all gains at once, from people who are drawn together
words      the same in plain words
"""
