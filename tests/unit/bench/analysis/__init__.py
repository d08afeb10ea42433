"""Unit tests of bench.analysis."""
