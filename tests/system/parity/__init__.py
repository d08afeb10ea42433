"""System tests of parity with sentence-transformers."""
