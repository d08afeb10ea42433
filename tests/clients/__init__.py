"""
Real clients against a running gateway. They have an environment of their own, and `tests/test_clients.py` runs them.

By hand, from the repository's root, with GATEWAY_URL set to a gateway without keys:

    .venvs/clients/bin/python -m pytest tests/clients -m "not keyed and not crowded"
"""
