"""Vectors against sentence-transformers, over HTTP."""
