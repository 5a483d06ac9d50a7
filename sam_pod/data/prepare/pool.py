"""Work shared out among processes of this machine, which live and die with this one."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from typing import Any

from sam_pod import errors
from sam_pod.process import signals

Progress = Callable[[int], object]
Work = Callable[[Any, Progress], Any]  # (task, progress) -> result

_TICK_SECONDS = 0.2


def _nothing() -> None:
    """Leave imports to those who need them."""


class Died(errors.UserError):
    """A process was killed from outside."""


def run(
    work: Work,
    tasks: Iterable[Any],
    num_processes: int,
    set_up: Callable[[], object],
    progress: Progress,
    look: Callable[[Any], object] = lambda result: None,
    *,
    first: Callable[[], object] = _nothing,
) -> list[Any]:
    """Return the results of all tasks, in the order of the tasks.

    Args:
        work: A function of a module. It calls the `progress` that it gets.
        tasks: The tasks, taken one by one by processes that are free. They and the
            results are pickled, unless this process is the only one.
        num_processes: The most processes; each takes seconds to start.
        set_up: A function called first in each process other than this one.
        progress: A function called with the numbers of all, and with 0 now and then.
        look: A function called in this process with each result, as it comes.
        first: A function called in each other process before the modules of `work` and
            `set_up` are imported.

    Raises:
        Died: a process was killed.
        Exception: what `work` raised.
    """
    if num_processes == 1:
        found = []
        for task in tasks:
            found.append(work(task, progress))
            look(found[-1])
        return found
    results: dict[int, Any] = {}
    queue = enumerate(tasks)
    with _processes(work, set_up, num_processes, first) as free:
        busy: dict[Any, int] = {}
        while True:
            while free and (following := next(queue, None)):
                pipe = free.pop()
                busy[pipe], task = following
                with _alive():
                    pipe.send(task)
            if not busy:
                return [results[index] for index in sorted(results)]
            for pipe in connection.wait(list(busy), _TICK_SECONDS):
                with _alive():
                    kind, value = pipe.recv()
                if kind == "progress":
                    progress(value)
                elif kind == "error":
                    raise value
                else:
                    results[busy.pop(pipe)] = value
                    look(value)
                    free.append(pipe)
            progress(0)


@contextlib.contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise Died(
            "A process of the preparation was killed, perhaps for lack of memory: the "
            "same command continues; a lower --num_processes needs less."
        ) from error


@contextlib.contextmanager
def _processes(
    work: Work,
    set_up: Callable[[], object],
    count: int,
    first: Callable[[], object],
) -> Iterator[list[connection.Connection]]:
    """Start processes, yield the pipes to them, and end them."""
    # A process that is forked would inherit TensorFlow's locks, but not its threads.
    context = multiprocessing.get_context("spawn")
    functions = pickle.dumps((work, set_up))
    pipes, started = [], []
    awaited = signals.stops()
    # They never see the signals that a terminal sends to all: this process ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, first, functions), daemon=True
            )
            process.start()
            theirs.close()
            started.append(process)
            pipes.append(ours)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield list(pipes)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for process in started:
            process.kill()
        for process, pipe in zip(started, pipes, strict=False):
            process.join()
            pipe.close()


def _serve(
    pipe: connection.Connection, first: Callable[[], object], functions: bytes
) -> None:
    threading.Thread(target=_follow_parent, daemon=True).start()
    first()
    work, set_up = pickle.loads(functions)
    set_up()
    with contextlib.suppress(EOFError, ConnectionError):  # The parent is gone.
        while True:
            task = pipe.recv()
            try:
                result = work(task, lambda count: pipe.send(("progress", count)))
            except (errors.UserError, OSError) as error:
                pipe.send(("error", error))
            except Exception:
                # Not all exceptions survive being pickled.
                pipe.send(("error", RuntimeError(traceback.format_exc())))
            else:
                pipe.send(("result", result))


def _follow_parent() -> None:
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
