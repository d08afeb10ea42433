"""Unit tests of gateways/python."""
