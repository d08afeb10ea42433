"""Unit tests of bench.commands."""
