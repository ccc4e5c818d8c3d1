"""Tests of `faro.store`."""
