"""How a question is answered: encode, retrieve, fuse, rerank, explain."""
