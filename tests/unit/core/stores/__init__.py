"""Unit tests of core.stores."""
