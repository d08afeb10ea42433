"""What clients, proxies and strangers send to a process, and what it costs those who behave."""
