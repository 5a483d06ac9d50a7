"""A study from its plan to its report: run what is missing, as many at once as asked.

The study keeps no state but its plan and, beside a workdir, how its last process ended.
What is done is read from the workdirs, so it goes on after a kill at any moment.
"""

import dataclasses
import json
import os
import threading
from collections.abc import Sequence

from absl import logging

from sam_pod import errors
from sam_pod.process import child, signals
from sam_pod.run import continuing
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import faults, files
from sam_pod.study import (
    choice,
    elsewhere,
    keep,
    plan,
    processes,
    report,
    run_flags,
    summary,
    trials,
)
from sam_pod.study import found as found_lib

PLAN = "study.json"
_LOCK = ".lock"
_TICK_SECONDS = 0.2
_MOST_STANDSTILLS = 3


@dataclasses.dataclass(frozen=True)
class Options:
    """How a study is run."""

    output: str
    jobs: int  # Runs at once; 0 only reports.
    launcher: tuple[str, ...] = ()
    more: tuple[str, ...] = ()  # Arguments of the trainer that all runs get.
    elsewhere: tuple[str, ...] = ()  # Folders with runs made elsewhere.
    keep: str = ""  # Where finished runs are kept without weights; '' for nowhere.


def run(study: plan.Study, options: Options, stop: threading.Event) -> str:
    """Run what is missing, and return the report as text.

    Args:
        study: A study, as returned by `plan.load`.
        options: How to run it.
        stop: An event; once it is set, the runs are asked to save and end.

    Raises:
        Interrupted: `stop` was set.
        UserError: the plan or the folder are not as they must be, or runs failed.
    """
    for name, path in (("output", options.output), ("keep", options.keep)):
        if files.is_remote(path):
            raise errors.UserError(
                f"--{name} is {path}; a study's runs are processes of this machine: "
                "give a local folder."
            )
    _check_is_no_run(options.output)
    by_arm = trials.of(study, options.more)
    known = elsewhere.find(options.elsewhere)
    with faults.explained(options.output):
        os.makedirs(options.output, exist_ok=True)
        lock = files.lock(os.path.join(options.output, _LOCK))
        if lock is None:
            raise errors.UserError(
                f"Another study is running in --output={options.output}: wait for it, "
                "stop it, or give another folder."
            )
        with lock:
            text = json.dumps(trials.plan_of(study, by_arm), indent=2) + "\n"
            files.write(os.path.join(options.output, PLAN), text)
            return _Job(study, by_arm, options, stop, known).run()


def _check_is_no_run(folder: str) -> None:
    if os.path.exists(os.path.join(folder, workdir_lib.CONFIG)):
        raise errors.UserError(
            f"--output={folder} is the workdir of a run: give a folder of the study's "
            "own."
        )


class _Job:
    """The study's loop: what runs, what has been tried, what is written."""

    def __init__(
        self,
        study: plan.Study,
        by_arm: dict[str, list[trials.Trial]],
        options: Options,
        stop: threading.Event,
        known: elsewhere.Known,
    ) -> None:
        self._study = study
        self._by_arm = by_arm
        self._options = options
        self._stop = stop
        self._known = known
        self._running: list[processes.Process] = []
        self._tried: set[str] = set()  # Names of runs that ended badly here.
        self._standstills: dict[str, int] = {}
        self._seen: dict[str, found_lib.Found] = {}
        self._waits_for: set[str] = set()
        self._shares = child.shares(options.jobs) if options.jobs else []

    def run(self) -> str:
        try:
            self._report()
            if self._options.elsewhere and (line := self._unfit()):
                logging.warning(line)
            while self._options.jobs:
                self._start_runs()
                if not self._running and not self._waits_for:
                    break
                self._stop.wait(_TICK_SECONDS)
                self._reap()
                if self._stop.is_set():
                    raise signals.Interrupted
        finally:
            self._end_all()
        text = self._report()
        if self._options.keep:
            keep.copy(map(self._look, self._needed()), self._options.keep)
            self._report(self._options.keep)
        self._complain()
        return text

    def _unfit(self) -> str:
        """Say why no run made elsewhere is one of the study's; '' where one is."""
        runs = [
            trials.Run(trial, seed)
            for each in self._by_arm.values()
            for trial in each
            for seed in {*self._study.seeds, *self._study.trial_seeds}
        ]
        return elsewhere.unfit(self._known, runs)

    def _look(self, run: trials.Run) -> found_lib.Found:
        """Return what is there of a run; what is settled is read once."""
        if run.name not in self._seen:
            others = elsewhere.workdirs_of(self._known, run)
            found = found_lib.look(run, self._workdir(run), others)
            if not found.is_settled:
                return found
            self._seen[run.name] = found
        return self._seen[run.name]

    def _workdir(self, run: trials.Run) -> str:
        return os.path.join(self._options.output, keep.RUNS, run.name)

    def _is_over(self, found: found_lib.Found) -> bool:
        return found.is_settled or found.run.name in self._tried

    def _arms(self) -> list[choice.Arm]:
        return choice.arms(self._study, self._by_arm, self._look, self._is_over)

    def _start_runs(self) -> None:
        """Start as many of the runs that are left as there are free shares of cores.

        Each has one share, the last one, too: kernels sum in an order that depends on
        the number of cores, and a study's figures not on what runs beside what.
        """
        busy = {process.slot for process in self._running}
        free = [slot for slot in range(self._options.jobs) if slot not in busy]
        self._waits_for = set()
        if not free:
            return
        active = {process.run.name for process in self._running}
        left = [
            run
            for run in self._needed()
            if run.name not in active and not self._is_over(self._look(run))
        ]
        for run in left:
            if not free:
                return
            if processes.is_used(self._workdir(run)):
                self._wait_for(run)
                continue
            self._start(run, free.pop(0))

    def _wait_for(self, run: trials.Run) -> None:
        self._waits_for.add(run.name)
        if self._standstills.setdefault(f"{run.name} is used", 0) == 0:
            logging.info("%s is used by another process: waiting for it.", run.name)
        self._standstills[f"{run.name} is used"] = 1

    def _start(self, run: trials.Run, slot: int) -> None:
        workdir = self._workdir(run)
        done = continuing.done(workdir)
        word = f"Going on after epoch {done[1]}" if done[0] else "Starting"
        logging.info("%s: %s", word, run.name)
        self._running.append(
            processes.start(
                run,
                workdir,
                launcher=self._options.launcher,
                words=run_flags.split(self._options.more).words,
                slot=slot,
                cores=self._shares[slot] if self._options.jobs > 1 else (),
                begun_at=done,
            )
        )

    def _reap(self) -> None:
        for process in list(self._running):
            code = process.code()
            if code is not None:
                self._running.remove(process)
                self._ended(process, code)
                self._report()

    def _ended(self, process: processes.Process, code: int) -> None:
        name, workdir = process.run.name, process.workdir
        found = self._look(process.run)
        if code == 0 and found.state == found_lib.FINISHED:
            logging.info(
                "%s: test accuracy %.4f, %.0f s of training",
                name,
                found.result["test_accuracy"],
                found.result.get("seconds", 0),
            )
            return
        if code == signals.EXIT_CODE or code < 0:
            moved = continuing.done(workdir) != process.begun_at
            count = 0 if moved else self._standstills.get(name, 0) + 1
            self._standstills[name] = count
            if self._stop.is_set() or count < _MOST_STANDSTILLS:
                return  # The same command continues.
        if processes.is_used(workdir):
            return  # By somebody else's process, which came first: wait for it.
        self._tried.add(name)
        line = processes.last_line(workdir)
        if code < 0 or code == signals.EXIT_CODE:
            line = f"ended {_MOST_STANDSTILLS} times without a step ({code}): {line}"
        found_lib.note(workdir, code, line)
        logging.info("%s: exit code %d: %s", name, code, line)

    def _end_all(self) -> None:
        """Ask the runs that are under way to save and end, and wait for them."""
        for process in self._running:
            if process.code() is None:
                process.ask_to_stop()
        for process in self._running:
            process.popen.wait()
        if self._running:
            self._running = []
            self._report()

    def _needed(self) -> list[trials.Run]:
        return choice.needed(self._study, self._arms())

    def _report(self, folder: str = "") -> str:
        found = summary.of(self._study, self._arms(), self._look)
        return report.write(found, folder or self._options.output)

    def _complain(self) -> None:
        """Refuse to end well where a run did not."""
        found = [self._look(run) for run in self._needed()]
        lines = []
        if names := _names(found, found_lib.FAILED):
            lines.append(
                f"{len(names)} run(s) of the study have failed: {', '.join(names)}. "
                "The report says why, and a log lies beside each in "
                f"{self._options.output}/{keep.RUNS}; what is right is kept, and the "
                "same command tries them again."
            )
        if names := _names(found, found_lib.OTHER):
            lines.append(
                f"{len(names)} folder(s) of the study hold other runs: "
                f"{', '.join(names)}. The report says which keys differ; move them "
                f"from {self._options.output}/{keep.RUNS}, or give another --output."
            )
        if lines:
            raise errors.UserError(" ".join(lines))


def _names(found: Sequence[found_lib.Found], state: str) -> list[str]:
    return [each.run.name for each in found if each.state == state]
