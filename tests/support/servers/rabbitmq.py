"""RabbitMQ of the tests' own, with a port mapper of its own: nothing is shared with a broker of the machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import amqp

from tests.support.servers.erlang import ErlangNode
from tests.support.servers.server import NotAvailable, Server, free_port

#: Debian's program on PATH insists on a user of its own; what it calls does not.
_UNWRAPPED = Path("/usr/lib/rabbitmq/bin")

#: They sleep instead of spinning when they have nothing to do.
_FEW_SCHEDULERS = "+S 2:2 +SDcpu 1:1 +SDio 2 +A 8 +sbwt none +sbwtdcpu none +sbwtdio none"

#: In the form that it reads itself: another program would turn `rabbitmq.conf` into it at each start, in two seconds.
_CONFIGURATION = """
[{rabbit, [
  {tcp_listeners, [{"127.0.0.1", %d}]},
  {log, [{console, [{enabled, true}, {level, info}]}]},
  {disk_free_limit, 50000000},
  {vm_memory_high_watermark, {absolute, 1000000000}}
]}].
"""


class RabbitMQ(Server):
    """A broker without plugins. It starts in five to ten seconds: one serves a session."""

    name = "rabbitmq"
    refusal = amqp.AMQPError

    def __init__(self) -> None:
        self._binaries = find()
        super().__init__()
        self._mapper_port = free_port()
        self._environment = {
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"tests{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _FEW_SCHEDULERS,
            # Its start script then becomes the server, instead of a parent that passes signals on.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
        self._node: ErlangNode | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def purge(self) -> None:
        """Drop the messages of all queues that are ready; the queues stay."""
        self._do_to_each("rabbit_amqqueue:list()", "rabbit_amqqueue:purge(Each)")

    def clear(self) -> None:
        """Delete all queues."""
        self._do_to_each("rabbit_amqqueue:list()", 'rabbit_amqqueue:delete(Each, false, false, <<"tests">>)')

    def close_connections(self) -> None:
        """Close all connections, as an administrator may."""
        close = 'rabbit_networking:close_connection(Each, <<"closed by a test">>)'
        self._do_to_each("rabbit_networking:connections()", close)

    def run_short(self) -> None:
        """Have it hold more than it may, so that it blocks whoever publishes."""
        self._evaluate("vm_memory_monitor:set_vm_memory_high_watermark(0.0).")

    def have_enough(self) -> None:
        """Let it go on."""
        self._evaluate('vm_memory_monitor:set_vm_memory_high_watermark({absolute, "1GB"}).')

    def _launch(self) -> None:
        (self.folder / "rabbitmq.config").write_text(_CONFIGURATION % self.port)
        (self.folder / "plugins").write_text("[].\n")
        # Before the server, which would start one of its own that outlives it.
        self._spawn(["epmd", "-port", str(self._mapper_port), "-address", "127.0.0.1"])
        self._spawn([self._binaries / "rabbitmq-server"], environment=self._environment)

    def _probe(self) -> None:
        with amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=5):
            pass

    def close(self) -> None:
        if self._node is not None:
            self._node.close()
        super().close()

    def _do_to_each(self, processes: str, call: str) -> None:
        """Evaluate a call for `Each` of some processes; one that ends meanwhile needs it no more.

        A client closes its connection, or a queue goes with its connection, between the listing and the call.
        """
        self._evaluate(f"[try {call} catch exit:{{_, {{_, call, _}}}} -> ended end || Each <- {processes}].")

    def _evaluate(self, expression: str) -> None:
        if self._node is None:
            self._node = ErlangNode(f"control{self.port}@localhost", self._environment)
        self._node.evaluate(expression)


def find() -> Path:
    """Return the folder of the server's programs: Debian's, else where PATH leads.

    Raises:
        NotAvailable: nowhere.
    """
    if (_UNWRAPPED / "rabbitmq-server").exists():
        return _UNWRAPPED
    on_path = shutil.which("rabbitmq-server")
    if on_path:
        return Path(on_path).resolve().parent
    raise NotAvailable("no `rabbitmq-server` on PATH")
