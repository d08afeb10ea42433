"""Unit tests of gateways/split."""
