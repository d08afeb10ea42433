"""Unit tests of bench.datasets."""
