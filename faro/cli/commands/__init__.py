"""The commands of `faro`, by what they are about."""
