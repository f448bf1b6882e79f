"""Benchmarks: scripts that measure, kept apart from the tests that check."""
