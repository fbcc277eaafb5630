"""Replaying items that ended without a result: dead ones, by cause or by item, and cancelled ones."""
