"""Statements that move items from state to state. Functions take an open connection."""
