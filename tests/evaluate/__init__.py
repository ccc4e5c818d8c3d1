"""Tests of `faro.evaluate`."""
