"""Rules of intakes, without input or output."""
