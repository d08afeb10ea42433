"""Unit tests of bench.records."""
