"""Tests of `constraints`."""
