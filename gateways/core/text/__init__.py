"""How text becomes tokens: tokenizer, chunking, truncation."""
