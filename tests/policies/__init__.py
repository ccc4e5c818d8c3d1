"""Tests of `faro.policies`."""
