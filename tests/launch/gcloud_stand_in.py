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
import json
import os
import re
import signal
import subprocess
import sys

from gcloud_call import FOLDER, Call, Refused


class StandIn(Call):
    """The commands, and what each does to the slice."""

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
