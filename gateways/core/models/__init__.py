"""Which models there are, which can be served, which are loaded, and what runs them."""
