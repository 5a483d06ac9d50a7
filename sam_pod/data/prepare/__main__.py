"""Prepare a data set: `python -m sam_pod.data.prepare --help`."""

import sys

from sam_pod.data.prepare import job
from sam_pod.storage import schemes

if __name__ == "__main__":
    schemes.leave(job.main(sys.argv))
