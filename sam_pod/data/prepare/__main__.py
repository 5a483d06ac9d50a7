"""Prepare a data set: `python -m sam_pod.data.prepare --help`."""

import sys

from sam_pod.data.prepare import job
from sam_pod.process import command

if __name__ == "__main__":
    command.leave(job.main(sys.argv))
