#!/usr/bin/env bash
# A loss of Keras 3 answers differently in a replica. keras.losses.X(...)(labels, outputs)
# is the mean over the examples; called within strategy.run it is that mean divided by the
# number of replicas (losses of the default reduction scale themselves there, so that the
# sum over replicas is the mean of all). The function of the same name, and tf.reduce_mean
# of what it gives, do not. A hand-written loop that averages gradients over replicas, or
# divides by their number, as TensorFlow's guides have it for losses that are not scaled,
# trains with the rate divided by the number of replicas, and nothing says so: the logged
# loss is smaller by that factor as well. Keras 2 refused such a loss in a replica.
# Seen with tensorflow-cpu 2.16.2 with keras 3.12.4, and 2.20.0 with 3.15.1. Exits with 0
# while the object gives half of what the function does on two replicas.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/loss.py" <<'EOF'
import keras
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
labels, outputs = tf.constant([[1.0], [3.0]]), tf.constant([[0.0], [0.0]])
an_object = keras.losses.MeanSquaredError()


def losses():
    by_function = tf.reduce_mean(keras.losses.mean_squared_error(labels, outputs))
    return an_object(labels, outputs), by_function


alone = [float(loss) for loss in losses()]
on_replicas = [
    [float(x) for x in strategy.experimental_local_results(loss)]
    for loss in tf.function(lambda: strategy.run(losses))()
]
print(f"keras {keras.__version__}: alone {alone}, on two replicas {on_replicas}")
assert alone == [5.0, 5.0] and on_replicas == [[2.5, 2.5], [5.0, 5.0]]
EOF
for pair in 2.16.2,3.12.4 2.20.0,3.15.1; do
  python3.11 -m venv "$folder/$pair"
  "$folder/$pair/bin/pip" install -q "tensorflow-cpu==${pair%,*}" "keras==${pair#*,}"
  TF_CPP_MIN_LOG_LEVEL=3 "$folder/$pair/bin/python" "$folder/loss.py"
done
