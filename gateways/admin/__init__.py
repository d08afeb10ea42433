"""Commands for the operator of a gateway: `python -m gateways.admin <verb>`."""
