"""The process: the ASGI app, the server, the imports it goes without."""
