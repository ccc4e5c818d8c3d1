"""Figures of models on data: of every trial in float64, how sure they are, and which are not dominated."""
