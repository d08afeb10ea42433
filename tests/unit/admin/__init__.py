"""Unit tests of gateways.admin."""
