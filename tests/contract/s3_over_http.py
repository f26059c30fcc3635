"""Footage in S3, over HTTP, against moto's server: `python -m tests.contract.s3_over_http`.

A process of its own: s3fs keeps its loop, its sockets and the addresses it has learned for the life of one.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from infra.runtime.doctor import examine
from infra.settings import Settings
from infra.store.media import MediaUnavailable, MissingMedia, ObjectMedia
from tests.unit.store.test_media import keep_promises

BUCKET, NOWHERE = "s3://here/footage", "s3://no-such-bucket/footage"


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    S3FileSystem().mkdir("here")

    keep_promises(ObjectMedia(BUCKET))
    with pytest.raises(MissingMedia):
        ObjectMedia(BUCKET).read("one.jpg")
    with pytest.raises(MediaUnavailable, match="bucket does not exist"):
        ObjectMedia(NOWHERE).write("one.jpg", b"jpeg")
    assert ask_doctor(BUCKET) == [(True, BUCKET)]
    assert S3FileSystem().find("here") == [], "the doctor left something behind"
    ((good, detail),) = ask_doctor(NOWHERE)
    assert not good
    assert "RUMBLESTRIP_MEDIA_URL" in detail

    server.stop()
    with pytest.raises(MediaUnavailable, match="RUMBLESTRIP_MEDIA_URL"):
        ObjectMedia(BUCKET).read("one.jpg")
    print("every promise was kept")


def ask_doctor(url: str) -> list[tuple[bool, str]]:
    with tempfile.TemporaryDirectory() as folder:
        found = examine(Settings(data_dir=Path(folder), media_url=url))
    return [(finding.ok, finding.detail) for finding in found if finding.what.startswith("media")]


if __name__ == "__main__":
    main()
