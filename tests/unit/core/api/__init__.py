"""Unit tests of core.models."""
