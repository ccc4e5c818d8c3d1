"""Tests of `faro.exact`."""
