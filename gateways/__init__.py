"""Interchangeable embedding gateways behind one `/v1` contract."""

__version__ = "0.1.0"
