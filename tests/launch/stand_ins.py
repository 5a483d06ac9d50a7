"""Run stand-ins for workers: python -m tests.launch.stand_ins CODE NUMBER RULE PORTS.

Each worker runs the Python CODE after the PRELUDE; files in the folder in which the
launcher was started tell the workers of each other.
"""

import json
import sys

from launch.workers import restarts, stopping

PRELUDE = """
import json, os, pathlib, signal, subprocess, sys, time
config = json.loads(os.environ["TF_CONFIG"])
index = config["task"]["index"]
starts = pathlib.Path(f"starts-{index}")
with starts.open("a") as file:
    file.write(".")
attempt = len(starts.read_text())  # From 1.

def pid_file(worker):
    return pathlib.Path(f"pid-{worker}-{attempt}")

def ready():
    pathlib.Path(f"partial-{index}").write_text(str(os.getpid()))
    os.rename(f"partial-{index}", pid_file(index))
    print("pid", os.getpid(), flush=True)

def wait_ready(*workers):
    while not all(pid_file(worker).exists() for worker in workers):
        time.sleep(0.01)

def wait_gone(worker):
    wait_ready(worker)
    while os.path.exists(f"/proc/{pid_file(worker).read_text()}"):
        time.sleep(0.01)

def on_sigterm(action):
    signal.signal(signal.SIGTERM, lambda *_: action())
"""


def main(code, number, rule, ports):
    command = [sys.executable, "-c", PRELUDE + code]
    return restarts.run_workers(
        command,
        int(number),
        stopping.Requests(),
        restarts.Rule(**json.loads(rule)),
        json.loads(ports),
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
