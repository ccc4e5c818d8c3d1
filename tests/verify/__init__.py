"""Tests of `faro.verify`."""
