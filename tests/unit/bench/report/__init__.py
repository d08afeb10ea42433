"""Unit tests of bench.report."""
