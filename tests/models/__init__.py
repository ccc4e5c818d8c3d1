"""Tests of `faro.models`."""
