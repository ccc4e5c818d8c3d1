"""Tests of `faro.voting`."""
