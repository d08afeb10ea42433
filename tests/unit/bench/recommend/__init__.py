"""Unit tests of bench.recommend."""
