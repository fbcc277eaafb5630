"""The sender: claims due deliveries, sends them concurrently, records the answers."""
