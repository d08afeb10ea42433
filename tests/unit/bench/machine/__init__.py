"""Unit tests of bench.machine."""
