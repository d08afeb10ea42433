"""Unit tests of bench.statistics."""
