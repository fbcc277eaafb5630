"""RabbitMQ: frames read and written in bulk."""
