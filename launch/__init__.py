"""Where to train: this machine, several processes, TPU VMs, GKE."""
