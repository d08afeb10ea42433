"""Unit tests of gateways.core.persistence."""
