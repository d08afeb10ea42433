"""Unit tests of bench.targets."""
