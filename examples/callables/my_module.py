"""A batched classifier and an asynchronous enricher: plain Python, tested like plain Python."""

import asyncio
import itertools

from pipeline import Permanent, Throttled, Transient, batched

HOT = ("call me", "order from", "budget is approved")
COLD = ("just looking", "no plans")

# Stands in for a service that you would call over the network.
REGISTER = {
    "tealfinch.example.com": {"name": "Tealfinch Coffee Roasters", "employees": 85},
    "quillstone.example.com": {"name": "Quillstone Stationery Inc.", "employees": 310},
    "mossgrave.example.org": {"name": "Mossgrave Museum of Clocks", "employees": 9},
    "nordhavre.example.com": {"name": "Nordhavre Cykler ApS", "employees": 42},
}
calls = itertools.count(1)


@batched(max_items=64)
def classify_many(items):
    """Classify a micro-batch: return answers in the same order; an exception object fails only its item."""
    return [score(item.text.lower()) if item.text.strip() else Permanent("the message is empty") for item in items]


def score(text):
    if any(phrase in text for phrase in HOT):
        return "hot", 0.9
    if any(phrase in text for phrase in COLD):
        return "cold", 0.8
    return "warm", 0.5


async def company(item):
    """Look up the company behind a domain; `item.label` is known here."""
    await asyncio.sleep(0.05)
    if next(calls) % 3 == 0:
        raise Throttled("the register answers two questions at a time", retry_after=0.2)  # uses up no attempt
    if item.label == "hot" and item.attempt == 1:
        raise Transient("the register was away for a moment")  # retried with backoff
    found = REGISTER.get(item.payload["domain"])
    if found is None:
        raise Permanent(f"no company at {item.payload['domain']}; correct the domain and replay")  # dead at once
    return {**found, "priority": item.label == "hot"}
