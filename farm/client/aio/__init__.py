"""The SDK for asyncio: `AsyncFarm`, with the calls of `Farm`."""
