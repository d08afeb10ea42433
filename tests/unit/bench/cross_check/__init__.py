"""Unit tests of bench.cross_check."""
