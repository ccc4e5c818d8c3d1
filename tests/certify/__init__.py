"""Tests of `faro.certify`."""
