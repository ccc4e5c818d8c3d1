"""Tests of `faro.integrations`."""
