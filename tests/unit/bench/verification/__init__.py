"""Unit tests of bench.verification."""
