"""Tests of `faro.data`."""
