"""Tests of `faro.runtime`."""
