"""Tests of `faro.training`."""
