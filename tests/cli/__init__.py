"""Tests of `faro.cli`."""
