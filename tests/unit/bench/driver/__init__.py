"""Unit tests of bench.driver."""
