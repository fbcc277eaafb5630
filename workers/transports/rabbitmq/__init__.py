"""A RabbitMQ transport that reads and writes many frames at a time."""
