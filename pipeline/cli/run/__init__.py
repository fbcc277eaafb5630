"""Longer work behind the commands: submitting, processing, listening, serving, and stopping cleanly."""
