"""Unit tests of core.text."""
