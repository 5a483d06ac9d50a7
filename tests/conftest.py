"""What every test has: eight logical CPU devices, tiny data sets, the --slow switch."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["JAX_PLATFORMS"] = "cpu"
# For programs that sam_pod.lowering runs on virtual devices.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import pytest
import tensorflow as tf


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the slow tests")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes minutes: --slow runs it"))


def pytest_configure(config):
    del config
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * 8
    tf.config.set_logical_device_configuration(cpu, devices)
    tf.config.experimental.enable_op_determinism()
