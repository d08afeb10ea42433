"""Tests of system.security."""
