"""What several tests share: gateways as processes, proxies, clients, campaigns made for a test."""
