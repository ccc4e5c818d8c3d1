"""Text as numbers: encoders of the BERT family, and their vectors on disk. Knows nothing of choices.

known         encoders by name, installed from the package index
encoder       an encoder in a folder: vectors of texts by it
architecture  sizes of an encoder, by its config.json
bert          the network, from the files that BERT, RoBERTa and DistilBERT ship in
tokens        texts as tokens; what a limit cuts off is counted
words         whole words found in texts, in the cases that people write
exchange      words exchanged by rules, as from she to he
dialogue      messages and strings of dialogues, prompts and answers, chat templates
cache         vectors on disk, each text computed once
"""
