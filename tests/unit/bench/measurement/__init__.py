"""Unit tests of bench.measurement."""
