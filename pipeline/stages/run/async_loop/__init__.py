"""The event loop that runs `async def` callables, on its own thread."""
