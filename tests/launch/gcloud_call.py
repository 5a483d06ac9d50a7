"""One call of gcloud: its words, the script that it follows, the state that it has.

The state is that of all calls: one at a time reads, changes and saves it.
"""

import fcntl
import json
import os
import pathlib
import signal
import time

from gcloud_words import ALPHA_FLAGS, COMMON, ERRORS, FLAGS

FOLDER = pathlib.Path(os.environ["GCLOUD_STAND_IN"])


class Refused(Exception):
    """The message of an error, and gcloud's exit code."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


class Call:
    """A call whose command is a method of the class that is made of this one."""

    def __init__(self, words):
        self.words = words
        self.take_lock()
        self.state["calls"] += 1
        self.late = None
        rest = [word for word in words if word not in ("alpha", "compute", "tpus")]
        self.kind, self.verb, *rest = [*rest, "", ""]
        self.alpha = "alpha" in words
        self.names = [word for word in rest if word and not word.startswith("--")]
        flags = (word.partition("=") for word in rest if word.startswith("--"))
        self.flags = {name: value for name, _, value in flags}

    def take_lock(self):
        """Read what is there, which no other call changes until `save_and_unlock`."""
        self.lock = os.open(FOLDER / "lock", os.O_CREAT | os.O_WRONLY)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.script = json.loads((FOLDER / "script.json").read_text())
        path = FOLDER / "state.json"
        empty = {"node": None, "queued": None, "slices": 0, "calls": 0, "counts": {}}
        self.state = json.loads(path.read_text()) if path.exists() else empty

    def save_and_unlock(self):
        """Save what this call did, once: later the state is that of other calls."""
        if self.lock is not None:
            self.save()
            os.close(self.lock)
            self.lock = None

    def run(self):
        with open(FOLDER / "calls", "a") as calls:
            calls.write(json.dumps(self.words) + "\n")
        if self.words[:2] == ["config", "get-value"]:
            self.save_and_unlock()
            print(self.script["project"])
            return 0
        self.interrupt("before")
        self.check_flags()
        self.fail_as_scripted()
        try:
            return getattr(self, f"{self.verb}_{self.kind}".replace("-", "_"))()
        finally:
            self.save_and_unlock()
            self.interrupt("after")

    def save(self):
        partial = FOLDER / "state.partial"
        partial.write_text(json.dumps(self.state))
        partial.replace(FOLDER / "state.json")

    def interrupt(self, moment):
        if self.script["interrupt"] == [self.state["calls"], moment]:
            self.save_and_unlock()
            os.kill(os.getppid(), signal.SIGINT)
            time.sleep(60)  # The launcher ends us.

    def check_flags(self):
        known = COMMON | FLAGS.get((self.kind, self.verb), set())
        known = known | (ALPHA_FLAGS.get(self.verb, set()) if self.alpha else set())
        for flag in self.flags:
            if flag not in known:
                raise Refused(f"unrecognized arguments: {flag}", 2)
        for flag in ("--zone", "--project"):
            assert self.flags[flag], flag

    def fail_as_scripted(self):
        """Fail with the error that the script has for this call of its verb."""
        key = f"{self.verb} {self.kind}"
        number = self.state["counts"][key] = self.state["counts"].get(key, 0) + 1
        error = self.script["errors"].get(key, {}).get(str(number))
        if isinstance(error, list):  # After the effect, which shows so much later.
            self.late = error
        elif error:
            self.save()
            raise self.error(error)

    def error(self, name):
        text = ERRORS[name].format(
            zone=self.flags["--zone"], project=self.flags["--project"]
        )
        return Refused(text)

    def not_found(self, collection, name):
        full = f"{self.parent}/{collection}/{name}"
        account = "This command is authenticated as me@example.com which is the active "
        return Refused(
            f"NOT_FOUND: Resource '{full}' was not found. {account}account specified "
            "by the [core/account] property\n- '@type': "
            f"type.googleapis.com/google.rpc.ResourceInfo\n  resourceName: {full}"
        )

    @property
    def parent(self):
        return f"projects/{self.flags['--project']}/locations/{self.flags['--zone']}"

    def print(self, answer, values):
        form = self.flags["--format"]
        print(json.dumps(answer, indent=2) if form == "json" else values[form])
