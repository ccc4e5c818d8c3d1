"""Tests of `faro.losses`."""
