"""A gcloud that plays the state machines of TPU slices, in a folder.

Its answers have the shape of the API's: the fields of `Node`, `QueuedResource` and
their parts at cloud.google.com/tpu/docs/reference/rest/v2, and the same in the message
classes of Google Cloud CLI 528 (tpu_v2_messages.py). As gcloud's, its `ssh` repeats a
command whose connection broke (command_lib/compute/tpus/tpu_vm/ssh.py there).

The folder has `script.json` (see `Script` in stand_in.py), `state.json`, `calls` (a
JSON list of words on each line), `violations`, and hosts/N/W, the home of worker W of
the Nth slice, where `ssh` runs its command with the real bash.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from gcloud_words import ALPHA_FLAGS, COMMON, ERRORS, FLAGS

FOLDER = pathlib.Path(os.environ["GCLOUD_STAND_IN"])


class Refused(Exception):
    """The message of an error, and gcloud's exit code."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


class StandIn:
    """One call of gcloud."""

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

    @property
    def initiator(self):
        return "USER" if self.state.get("leaving") else "SERVICE"

    @property
    def life(self):
        """Return the script of the slice that is there."""
        lives = self.script["lives"]
        return lives[min(self.state["slices"], len(lives)) - 1]

    def create_tpu_vm(self):
        self.create("node", self.flags["--version"])

    def create_queued_resources(self):
        assert self.flags["--node-id"] == self.names[0]
        self.create("queued", self.flags["--runtime-version"])

    def create(self, kind, version):
        name = self.names[0]
        if self.state["node"] or self.state["queued"]:
            with open(FOLDER / "violations", "a") as file:
                file.write(f"{self.words} while there is {self.state}\n")
        if self.state[kind]:
            raise Refused(f"ALREADY_EXISTS: Resource '{self.parent}/{name}'")
        self.state["slices"] += 1
        asked = {
            "name": name,
            "acceleratorType": self.flags["--accelerator-type"],
            "runtimeVersion": version,
            "kind": kind,
            "looks": 0,
        }
        self.state["asked"] = asked
        for worker in range(self.life["hosts"]):
            self.furnish(self.home(worker))
        self.set_states(*self.life["states"][0])
        if self.late:
            error, self.state["hidden"] = self.late
            raise self.error(error)

    def check_shown(self, collection):
        if self.state.get("hidden"):
            self.state["hidden"] -= 1
            raise self.not_found(collection, self.names[0])

    def home(self, worker):
        return FOLDER / "hosts" / str(self.state["slices"]) / str(worker)

    def furnish(self, home):
        """Give a worker what the installation would leave."""
        (home / "sam_pod/.venv/bin").mkdir(parents=True)
        os.symlink(self.script["trainer"], home / "sam_pod/.venv/bin/python")
        (home / "sam_pod/.venv/installed").write_text(self.script["installed"])

    def play(self):
        """Set the states as the script of the slice says for this look."""
        asked, states = self.state["asked"], self.life["states"]
        queued, node = states[min(asked["looks"], len(states) - 1)]
        self.set_states(queued, node)
        asked["looks"] += 1

    def set_states(self, queued, node):
        asked = self.state["asked"]
        if asked["kind"] != "queued":
            queued = None
        if self.state["node"] and node in (None, "PREEMPTED", "TERMINATED"):
            self.lose()
        self.state["queued"], self.state["node"] = queued, node

    def lose(self):
        """Kill what runs on the hosts, as the loss of their machines does."""
        for worker in range(self.life["hosts"]):
            pid = self.home(worker) / "sam_pod/run/pid"
            if pid.exists():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(json.loads(pid.read_text())["pid"], signal.SIGKILL)

    def describe_queued_resources(self):
        self.check_shown("queuedResources")
        # A look asks for the queued resource first: the slice moves on with each.
        ongoing = self.state["queued"] or self.state["node"]
        if ongoing and not self.state.get("leaving"):
            self.play()
        state = self.state["queued"]
        if not state:
            raise self.not_found("queuedResources", self.names[0])
        asked = self.state["asked"]
        node = {
            "acceleratorType": asked["acceleratorType"],
            "runtimeVersion": asked["runtimeVersion"],
            "networkConfig": {"enableExternalIps": True, "network": "default"},
        }
        spec = {"parent": self.parent, "nodeId": asked["name"], "node": node}
        answer = {
            "name": f"{self.parent}/queuedResources/{asked['name']}",
            "createTime": "2026-11-24T02:30:00.123456789Z",
            "tpu": {"nodeSpec": [spec]},
            "spot": {},
            "state": {"state": state, "stateInitiator": self.initiator},
        }
        if state == "FAILED":
            error = {"code": 8, "message": self.life["failure"]}
            answer["state"]["failedData"] = {"error": error}
        self.print(answer, {"value(state.state)": state})
        if state == "SUSPENDING" and self.state.get("leaving"):
            self.leave()

    def describe_tpu_vm(self):
        self.check_shown("nodes")
        state = self.state["node"]
        if not state:
            raise self.not_found("nodes", self.names[0])
        asked = self.state["asked"]
        points = [
            {
                "ipAddress": f"10.130.0.{worker + 2}",
                "port": 8470,
                "accessConfig": {"externalIp": f"34.90.0.{worker + 2}"},
            }
            for worker in range(self.life["hosts"])
        ]
        answer = {
            "name": f"{self.parent}/nodes/{asked['name']}",
            "acceleratorType": asked["acceleratorType"],
            "apiVersion": "V2",
            "cidrBlock": "10.130.0.0/20",
            "createTime": "2026-11-24T02:31:00.123456789Z",
            "health": self.life["health"],
            "id": "1234567890123456789",
            "networkConfig": {"enableExternalIps": True, "network": "default"},
            "networkEndpoints": points if state != "CREATING" else [],
            "runtimeVersion": asked["runtimeVersion"],
            "schedulingConfig": {"spot": True},
            "serviceAccount": {"email": "1-compute@developer.gserviceaccount.com"},
            "state": state,
        }
        addresses = ";".join(point["ipAddress"] for point in points)
        values = {
            "value(state)": state,
            "value(networkEndpoints[].ipAddress)": addresses,
        }
        self.print(answer, values)
        if state == "DELETING":
            self.leave()

    def print(self, answer, values):
        form = self.flags["--format"]
        print(json.dumps(answer, indent=2) if form == "json" else values[form])

    def delete_tpu_vm(self):
        if not self.state["node"]:
            raise self.not_found("nodes", self.names[0])
        self.lose()
        self.state["leaving"] = True
        # The node is there for another look; a queued resource is suspended by it.
        self.state["node"] = "DELETING"
        if self.state["queued"]:
            self.state["queued"] = "SUSPENDING"

    def leave(self):
        if self.state["node"] == "DELETING":
            self.state["node"] = None
        elif not self.state["node"]:
            self.state["queued"] = "SUSPENDED"
        if not self.state["node"] and not self.state["queued"]:
            self.state["leaving"] = False

    def delete_queued_resources(self):
        state, force = self.state["queued"], "--force" in self.flags
        if not state:
            raise self.not_found("queuedResources", self.names[0])
        alone = ("ACCEPTED", "WAITING_FOR_RESOURCES", "FAILED", "SUSPENDED")
        if not force and (self.state["node"] or state not in alone):
            raise Refused(
                f"FAILED_PRECONDITION: Queued resource in state {state} cannot be "
                "deleted; delete its nodes first, or use --force."
            )
        self.state["queued"] = self.state["node"] = None
        self.state["leaving"] = False

    def scp_tpu_vm(self):
        self.check_reachable()
        source, target = self.names
        name, _, path = target.partition(":")
        assert name == self.state["asked"]["name"]
        for worker in self.workers():
            subprocess.run(["cp", source, self.home(worker) / path], check=True)

    def ssh_tpu_vm(self):
        self.check_reachable()
        assert self.names == [self.state["asked"]["name"]]
        command = self.flags["--command"]
        if " follow " in command:
            return self.follow(command)
        self.save_and_unlock()
        codes = [self.shell(command, worker).wait() for worker in self.workers()]
        return next((code for code in codes if code), 0)

    def follow(self, command):
        """Play the script of this connection: how many lines, then what happens."""
        drops = self.life["connections"]
        number = self.state["counts"].setdefault(f"life {self.state['slices']}", 0)
        self.state["counts"][f"life {self.state['slices']}"] += 1
        self.save_and_unlock()
        lines, event = drops[number] if number < len(drops) else [None, ""]
        process = self.shell(command, 0, stdout=subprocess.PIPE)
        count = 0
        while lines is None or count < lines:
            line = process.stdout.readline()
            if not line:
                return process.wait()
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            count += "text" in json.loads(line)
        process.kill()
        if event == "repeat":
            # As gcloud: the connection breaks in the middle of a line, and the same
            # command runs again.
            sys.stdout.buffer.write(b'{"at": 0, "te')
            print("Retrying: SSH command error: [ssh] exited 255", file=sys.stderr)
            return self.shell(command, 0).wait()
        if isinstance(event, list):
            self.take_lock()
            self.set_states(*event)
            self.life["states"].append(event)
            (FOLDER / "script.json").write_text(json.dumps(self.script))
            self.state["asked"]["looks"] = len(self.life["states"]) - 1
        print("client_loop: send disconnect: Broken pipe", file=sys.stderr)
        return 255

    def shell(self, command, worker, **options):
        # Split and joined by spaces, and read again by the shell there: as ssh does.
        home = self.home(worker)
        return subprocess.Popen(
            ["bash", "-c", " ".join(command.split(" "))],
            cwd=home,
            env={"HOME": str(home), "PATH": self.script["path"]},
            **options,
        )

    def workers(self):
        worker = self.flags.get("--worker", "0")
        return range(self.life["hosts"]) if worker == "all" else [int(worker)]

    def check_reachable(self):
        if not self.state["node"]:
            raise self.not_found("nodes", re.split("[:]", self.names[-1])[0])
        if self.state["node"] != "READY":
            raise Refused(
                f'This TPU has terminal state "{self.state["node"]}", so it cannot be '
                "used anymore."
            )


def main():
    stand_in = StandIn(sys.argv[1:])
    try:
        return stand_in.run()
    except Refused as error:
        group = ".".join(w for w in sys.argv[1:6] if re.fullmatch("[a-z-]+", w))
        print(f"ERROR: (gcloud.{group}) {error}", file=sys.stderr)
        return error.code
