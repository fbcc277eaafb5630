"""Statements that move items between states. Functions take an open connection."""
