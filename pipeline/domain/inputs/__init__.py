"""What inputs are made of: positions in them, types of fields, and how records become payloads."""
