"""Tests of `faro.report`."""
