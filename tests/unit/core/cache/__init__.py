"""Unit tests of core.cache."""
