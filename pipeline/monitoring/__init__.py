"""The state of an installation for Prometheus and autoscalers: numbers that every process reads alike from SQL."""
