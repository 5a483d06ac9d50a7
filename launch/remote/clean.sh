#!/usr/bin/env bash
# Runs on every TPU host before a trainer is started again: ends whatever holds the chips,
# so that they are not "in use", and restarts the image's gRPC server where there is one.
set -uo pipefail

shopt -s nullglob
devices=("$@")
if [ $# -eq 0 ]; then
  devices=(/dev/accel* /dev/vfio/*)
fi
if [ ${#devices[@]} -gt 0 ]; then
  sudo lsof -t "${devices[@]}" 2>/dev/null | xargs --no-run-if-empty sudo kill -9
fi
sudo rm -f /tmp/libtpu_lockfile
if systemctl cat tpu-runtime >/dev/null 2>&1; then
  sudo systemctl restart tpu-runtime
fi
