"""How bytes are read and written: connections, API keys, JSON routes, OpenAPI."""
