"""A real S3 API on loopback: moto's server as a process, and calls to it from here.

Those calls are boto3's. TensorFlow's client aborts the process that has used it, so in
the tests it lives in processes of its own.
"""

import contextlib
import os
import re
import subprocess
import sys
import threading

import boto3
import pytest

from tests import faulty_proxy

BUCKET = "bucket"
ACCESS_KEY, SECRET_KEY = "AKIAFORTHETESTSALONE", "secret-for-the-tests-alone"


class Server:
    """Where it is, and what is in its one bucket."""

    def __init__(self, url):
        self.url = url
        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        self.client.create_bucket(Bucket=BUCKET)

    def names(self, prefix=""):
        """Return the names of all objects under a prefix, without it."""
        pages = self.client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [item["Key"] for page in found for item in page.get("Contents", [])]
        return sorted(key.removeprefix(prefix) for key in keys)

    def put(self, folder, prefix):
        """Copy a local folder to the bucket."""
        for path in sorted(folder.iterdir()):
            self.client.upload_file(str(path), BUCKET, f"{prefix}{path.name}")

    def get(self, prefix, folder):
        """Copy all objects under a prefix to a local folder, and return it."""
        for name in self.names(prefix):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self.client.download_file(BUCKET, f"{prefix}{name}", str(path))
        return folder


def environment(url):
    """Return what leads TensorFlow's client to a server at a URL, and nowhere else."""
    return {
        "S3_ENDPOINT": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextlib.contextmanager
def serve():
    """Yield a running server with one empty bucket."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        for line in process.stderr:
            if found := re.search(r"Running on (http://\S+)", line):
                break
        # It writes about each request, and must not wait until that is read.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Server(found[1])
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server():
    with serve() as server:
        yield server


@pytest.fixture
def proxy(server):
    with faulty_proxy.serve(server.url) as proxy:
        yield proxy
