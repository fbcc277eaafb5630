"""A program that goes on with a batch that another one left, and closes its client."""

import json
import sys

import pipeline

if __name__ == "__main__":
    with pipeline.connect() as client:
        print(json.dumps(client.batch(sys.argv[1]).wait(60).succeeded))
