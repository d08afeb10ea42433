"""Unit tests of bench.scenarios."""
