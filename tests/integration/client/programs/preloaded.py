"""An application whose client was connected, and has worked, before the server forks."""

import os
from typing import Any

from batch_of import followed
from flask import Flask

import pipeline

client = pipeline.connect()
followed(client, 5)
app = Flask(__name__)


@app.post("/batches")
def submit() -> dict[str, Any]:
    return {"batch": followed(client, 20), "seen": 20, "process": os.getpid()}
