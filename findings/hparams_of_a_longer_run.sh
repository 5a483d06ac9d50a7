#!/usr/bin/env bash
# TensorBoard shows the hyper-parameters that a run wrote first, and none that it writes
# later. A run that continues with others (more epochs, another rate) and writes them again,
# by the same or a new file of events in its folder, keeps the old ones on the HParams page,
# beside metrics of the new ones, without a word. They are the metadata of a summary with a
# fixed tag (_hparams_/session_start_info), of which TensorBoard keeps the first of each run;
# the scalars of both files are all there. Who compares runs by that page groups such a run
# with those of its first values. What helps: another folder for what continues.
# Seen with tensorboard 2.21.0 and 2.16.2 (its own reader of events).
# Exits with 0 while the first value is shown of two, and both scalars.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
cat > "$folder/hparams.py" <<'EOF'
import sys

from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import metadata, plugin_data_pb2
from tensorboard.summary.writer import event_file_writer



def start(epochs):
    """Return what tensorboard.plugins.hparams.api writes for one hyper-parameter."""
    info = plugin_data_pb2.SessionStartInfo()
    info.hparams["num_epochs"].number_value = epochs
    data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
    value = summary_pb2.Summary.Value(
        tag=metadata.SESSION_START_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return summary_pb2.Summary(value=[value])


workdir = sys.argv[1]
for epochs in (2, 4):
    writer = event_file_writer.EventFileWriter(workdir, filename_suffix=f".{epochs}")
    writer.add_event(event_pb2.Event(step=0, summary=start(epochs)))
    loss = summary_pb2.Summary.Value(tag="loss", simple_value=1 / epochs)
    summary = summary_pb2.Summary(value=[loss])
    writer.add_event(event_pb2.Event(step=epochs, summary=summary))
    writer.close()
events = plugin_event_multiplexer.EventMultiplexer()
events.AddRun(workdir, "run")
events.Reload()
(content,) = events.PluginRunToTagToContent("hparams")["run"].values()
shown = metadata.parse_session_start_info_plugin_data(content).hparams
epochs = shown["num_epochs"].number_value
steps = [event.step for event in events.Tensors("run", "loss")]
print(f"num_epochs {epochs:g}, losses of steps {steps}", flush=True)
assert (epochs, steps) == (2, [2, 4])
EOF
for versions in "2.16.2 4.25.8" "2.21.0 6.31.1"; do
  "$folder/venv/bin/pip" install --quiet "tensorboard==${versions% *}" \
    "protobuf==${versions#* }" "setuptools==75.8.0" "numpy==1.26.4"
  "$folder/venv/bin/python" "$folder/hparams.py" "$folder/run-${versions% *}"
done
