"""Fuzzed projects: files that are changed, and commands that are watched.

projects   three small projects, as schemas and columns
mutations  changes to tables, texts, JSON and bytes
policies   random policies that can be read
scored     a scored table with a description, true or not
ground     the projects' good files, made by faro's own commands
commands   a command that is run and watched
cases      a fuzzed project and its commands
kinds      what is mutated, and which commands must bear it
"""
