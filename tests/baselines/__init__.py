"""Tests of `faro.baselines`."""
