"""Unit tests of core.host."""
