"""Unit tests of core.scoring."""
