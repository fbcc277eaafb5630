"""Statements on deliveries and endpoints. Functions take an open connection."""
