"""Unit tests of bench.retrieval."""
