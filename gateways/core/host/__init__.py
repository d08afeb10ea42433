"""What a process asks of the operating system: memory, thread priority, the name of a GPU."""
