"""Tests of what is around the code: layers, documentation, CI, benchmarks."""
