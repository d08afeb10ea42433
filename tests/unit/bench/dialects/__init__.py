"""Unit tests of bench.dialects."""
