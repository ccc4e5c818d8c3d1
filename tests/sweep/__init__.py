"""Tests of `faro.sweep`."""
