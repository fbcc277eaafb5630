"""The gate of transactions: closed during a fork, open otherwise, and never in the way of the thread that forks."""

from __future__ import annotations

import threading

from pipeline.fork_gate import ForkGate


def test_a_gate_without_transactions_closes_at_once_and_holds_up_others_until_it_reopens() -> None:
    gate, passed = ForkGate(), threading.Event()

    def transact() -> None:
        with gate.passing():
            passed.set()

    assert gate.close(0)
    thread = threading.Thread(target=transact)
    thread.start()
    assert not passed.wait(0.01)
    gate.reopen()
    assert passed.wait(10)
    thread.join()


def test_a_gate_waits_for_other_threads_and_gives_up_in_time() -> None:
    gate, begun, end = ForkGate(), threading.Event(), threading.Event()

    def transact() -> None:
        with gate.passing():
            begun.set()
            end.wait(10)
            # One inside another passes a closed gate: it would be waited for without end.
            with gate.passing():
                pass

    thread = threading.Thread(target=transact)
    thread.start()
    begun.wait(10)
    assert not gate.close(0.01)
    end.set()
    assert gate.close(10)
    thread.join()


def test_a_thread_with_a_transaction_is_not_waited_for_by_itself() -> None:
    gate = ForkGate()
    with gate.passing():
        assert not gate.close(10)
        with gate.passing():
            pass
    assert gate.close(0)
