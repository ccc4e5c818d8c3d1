"""Tests of `faro.lagrangian`."""
