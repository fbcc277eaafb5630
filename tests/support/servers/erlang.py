"""An Erlang node that evaluates expressions on a RabbitMQ server, as `rabbitmqctl eval` does.

`rabbitmqctl` starts a virtual machine for each call, half a second of work; this one stays.
"""

from __future__ import annotations

import os
import subprocess

#: Reads an expression a line, and writes what it came to.
_PROGRAM = """
Loop = fun Loop() ->
  case io:get_line("") of
    eof -> halt();
    Line ->
      {ok, Tokens, _} = erl_scan:string(Line),
      {ok, Expressions} = erl_parse:parse_exprs(Tokens),
      Server = list_to_atom(os:getenv("RABBITMQ_NODENAME")),
      io:format("~0p~n", [rpc:call(Server, erl_eval, exprs, [Expressions, []], 60000)]),
      Loop()
  end
end,
Loop().
"""


class ErlangNode:
    """A node beside a server; it ends with this process, whose end closes its input."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        options = ["-noshell", "-hidden", "-dist_listen", "false", "-sname", name, "+S", "1:1", "+A", "1"]
        self._process = subprocess.Popen(
            ["erl", *options, "-eval", " ".join(_PROGRAM.split())],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def evaluate(self, expression: str) -> None:
        """Evaluate an expression on the server, and wait until that is done.

        Raises:
            AssertionError: it failed there, or the server did not answer.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{expression}\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer.startswith("{value,"), answer

    def close(self) -> None:
        """End it."""
        with self._process as process:
            process.kill()
