"""Runs one stage over many items: threads, the event loop, results one by one."""
