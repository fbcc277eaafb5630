"""Long-running work behind commands: processing in this process, following, listening, stopping."""
