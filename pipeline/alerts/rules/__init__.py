"""Rules of alerts, without input or output."""
