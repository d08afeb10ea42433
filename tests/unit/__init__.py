"""Unit tests: no gateway process, a folder for each package."""
