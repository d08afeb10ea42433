"""Unit tests of core.inference."""
