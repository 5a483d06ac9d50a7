"""Runs that are not alike though their configs are.

They differ in inputs, replicas, versions, or in what they were before.
"""

from collections.abc import Iterator, Mapping, Sequence

from sam_pod.config import keys
from sam_pod.run import spread as spread_lib
from sam_pod.study import found as found_lib
from sam_pod.study import places

_DATA = "data.dir"
_PYTHON = "python"  # Computes nothing.
Runs = Mapping[str, Sequence[found_lib.Found]]  # By arm.


def notes(runs: Runs) -> list[str]:
    """Return a line for each thing in which finished runs differ, and should not."""
    done = {
        arm: [found for found in each if found.state == found_lib.FINISHED]
        for arm, each in runs.items()
    }
    names = {name for each in done.values() for found in each for name in found.digests}
    inputs = [note for name in sorted(names) for note in _of_input(name, done)]
    spreads = [*_in_runs(done), *(_in_trials(done) or _between_trials(done))]
    return [*inputs, *spreads, *_lengthened(done), *_versions(done)]


def _of_input(key: str, runs: Runs) -> list[str]:
    """Return a line for each value of a key that has named several contents."""
    contents: dict[str, dict[str, set[str]]] = {}
    for arm, each in runs.items():
        for found in each:
            # Data are where they are on each machine; another model is meant as one.
            value = "" if key == _DATA else keys.flatten(found.run.trial.config)[key]
            if digest := found.digests.get(key):
                by_arm = contents.setdefault(str(value), {})
                by_arm.setdefault(arm, set()).add(digest)
    what = "data" if key == _DATA else f"content of `{key}`"
    return [
        f"The runs are not all on the same {what} (digests by arm: "
        f"{ {arm: sorted(d[:8] for d in each) for arm, each in by_arm.items()} }): "
        "compare arms only where these agree."
        for by_arm in contents.values()
        if len(set().union(*by_arm.values())) > 1
    ]


def _versions(runs: Runs) -> list[str]:
    """Return a line for each package of which the runs have several versions."""
    by_package: dict[str, dict[str, set[str]]] = {}
    for arm, each in runs.items():
        for found in each:
            for package, version in found.result.get("versions", {}).items():
                by_arm = by_package.setdefault(package, {})
                by_arm.setdefault(arm, set()).add(str(version))
    return [
        f"The runs are of several versions of {package} (by arm: {_said(by_arm)})."
        for package, by_arm in by_package.items()
        if package != _PYTHON and len(set().union(*by_arm.values())) > 1
    ]


def _lengthened(runs: Runs) -> list[str]:
    """Return a line for each run whose schedule was that of a shorter one at first."""
    notes = []
    for found in (found for each in runs.values() for found in each):
        if before := found.result.get("lengths"):
            until = ", ".join(
                f"{each['num_epochs']} epochs until step {each['step']}"
                for each in before
            )
            notes.append(
                f"{found.run.name} was to last {until}: its learning rate, rho or "
                "window is not that of a run of its length from the start."
            )
    return notes


def _said(by_arm: Mapping[str, set[str]]) -> dict[str, str]:
    return {arm: " or ".join(sorted(words)) for arm, words in by_arm.items()}


def _in_runs(runs: Runs) -> list[str]:
    """Return a line for each run that was of several updates, one after the other."""
    notes = []
    for found, last in _spread(runs):
        spreads = [*places.before(found.result), last]
        if len({places.update(spread) for spread in spreads}) > 1:
            words = "; then ".join(map(places.in_words, spreads))
            notes.append(f"{found.run.name} is not of one update: {words}.")
    return notes


def _in_trials(runs: Runs) -> list[str]:
    """Return a line for each trial whose runs are not one update."""
    by_trial: dict[str, list[tuple[int, spread_lib.Spread]]] = {}
    for found, spread in _spread(runs):
        name = f"{found.run.trial.arm} {found.run.trial.value}".strip()
        by_trial.setdefault(name, []).append((found.run.seed, spread))
    return [
        f"The runs of {name} are not of one update: {_by_seeds(each)}. Their mean is "
        "of none of these."
        for name, each in by_trial.items()
        if len({places.update(spread) for _, spread in each}) > 1
    ]


def _by_seeds(runs: Sequence[tuple[int, spread_lib.Spread]]) -> str:
    seeds: dict[str, list[str]] = {}
    for seed, spread in runs:
        seeds.setdefault(places.in_words(spread), []).append(str(seed))
    return "; ".join(f"{words} (seed {', '.join(e)})" for words, e in seeds.items())


def _between_trials(runs: Runs) -> list[str]:
    """Return a line where arms that ask for the same place had others."""
    by_place: dict[str, list[tuple[found_lib.Found, spread_lib.Spread]]] = {}
    for found, spread in _spread(runs):
        asked = str(places.keys_of(found.run.trial.config))
        by_place.setdefault(asked, []).append((found, spread))
    notes = []
    for each in by_place.values():
        matters = any(places.depends(f.run.trial.config, s) for f, s in each)
        by_arm: dict[str, set[str]] = {}
        for found, spread in each:
            words = places.name(spread, with_replicas=matters)
            by_arm.setdefault(found.run.trial.arm, set()).add(words)
        if len(set().union(*by_arm.values())) > 1:
            notes.append(
                f"The runs are not all spread alike, and their updates depend on it "
                f"(by arm: {_said(by_arm)}): compare arms only where these agree."
            )
    return notes


def _spread(runs: Runs) -> Iterator[tuple[found_lib.Found, spread_lib.Spread]]:
    for each in runs.values():
        for found in each:
            if found.spread is not None:
                yield found, found.spread
