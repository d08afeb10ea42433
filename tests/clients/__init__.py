"""
Tests of real clients against a running gateway. `tests/test_clients.py` runs them in an environment of their own.

To run them by hand, set GATEWAY_URL to a gateway without keys. From the root of the repository:

    .venvs/clients/bin/python -m pytest tests/clients -m "not keyed and not crowded"
"""
