"""An S3-compatible server for tests, in this process, and the environment that names it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import s3fs
from moto.server import ThreadedMotoServer

BUCKET = "shards"


@contextmanager
def serve_s3() -> Iterator[str]:
    """Start the server with one bucket; inside, the environment leads every client to it.

    Yields:
        The URL of the bucket.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    names = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = dict(os.environ)
    os.environ.update(names)
    s3fs.S3FileSystem.clear_instance_cache()  # one of an earlier server may still be kept
    try:
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}"
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)
