"""Unit tests of core.http."""
