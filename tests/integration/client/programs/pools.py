"""Processes and pools of processes that are started in the way that is given."""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

from batch_of import followed

import pipeline


@cache
def shared() -> pipeline.Client:
    """Return the client of this process, which a fork has from its parent."""
    return pipeline.connect()


def work(number: int) -> str:
    return followed(shared(), number)


def work_and_close(answers: Any) -> None:
    with shared() as client:
        answers.put(followed(client, 20))


def main(method: str) -> None:
    ids = [followed(shared(), 20)]
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    with ProcessPoolExecutor(1, mp_context=context) as futures, context.Pool(1) as pool:
        process = context.Process(target=work_and_close, args=(answers,))
        process.start()
        mapped = pool.map_async(work, [20] * 2)
        ids += [*futures.map(work, [20] * 2), *mapped.get(), answers.get(), followed(shared(), 20)]
        process.join()
        assert process.exitcode == 0
    shared().close()
    print(json.dumps(ids))


if __name__ == "__main__":
    main(sys.argv[1])
