"""Verification of a target before it is timed: probes, and agreement with the reference."""
