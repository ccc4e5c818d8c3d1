"""What lies on disk: models, constraints as data, runs. The only reader and writer of a run folder.

spec          a constraint as data, read back to an equal constraint
model         a trained model: parameters, coding and schema, so that it can score a table
saved         its files: safetensors, JSON, hashed units
draw          how a randomised model picks one of its components
rewards       its rewards on a table, in float64
scored        the scored table
parameters    its parameters as named tensors
others        rewards of another model as a column of the choices
run           the folder of a finished sweep as plain records: all of its files
frontier      a finished sweep with its models
choice        which of its models a gate is to be asked about
columns       the names of the columns of its tables
export        a model of texts as a folder that sentence-transformers loads
coefficients  what a saved linear model makes of every feature, by name
envelopes     its certified envelopes
on_disk       parameters of a trial in a file of their own, read when they are used
fingerprint   what an object is, by which a killed sweep knows itself again
"""
