"""Where to train: this machine, several processes, TPU VMs, GKE."""

import os

# First, because it keeps files of the working folder from hiding other modules.
import sam_pod

_ROOT, _TRAINER = (
    os.path.dirname(os.path.dirname(os.path.realpath(file)))
    for file in (__file__, sam_pod.__file__)
)
if _ROOT != _TRAINER:
    raise SystemExit(
        f"Error: launch is in {_ROOT}, and the sam_pod that Python finds in "
        f"{_TRAINER}: two copies would be mixed; run in another folder, or set "
        f"PYTHONPATH={_ROOT}."
    )
