"""Unit tests of bench.simulate."""
