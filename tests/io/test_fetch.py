"""Downloads from a local server: complete, interrupted, refused and damaged."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from recurra.config import DataConfig
from recurra.errors import ConfigError, DataError, OutputError
from recurra.io import fetch as fetch_module
from recurra.io.detect import detect
from recurra.io.fetch import DATA_SETS, DataSet, fetch, fetch_set
from recurra.io.formats import read


def archive(extra: tarfile.TarInfo | None = None) -> bytes:
    """A small archive of aclImdb's form, with incompressible texts so that it takes several blocks."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for part in ("train/pos", "train/neg", "train/unsup", "test/pos", "test/neg"):
            for i in range(3):
                seed = f"{part}{i}".encode()
                text = "".join(hashlib.sha512(seed + bytes([j])).hexdigest() for j in range(200)).encode()
                member = tarfile.TarInfo(f"aclImdb/{part}/{i}_7.txt")
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))
        if extra is not None:
            tar.addfile(extra, io.BytesIO(b"x" * extra.size))
    return packed.getvalue()


@dataclass
class Site:
    """The file of a server, and its failures."""

    content: bytes
    ranges: bool = True
    cut_at: list[int] = field(default_factory=list)  # bytes after which each answer in turn breaks off
    status: list[int] = field(default_factory=list)  # instead of an answer, in turn
    asked: list[str | None] = field(default_factory=list)  # the Range headers that came
    url: str = ""

    def data_set(self) -> DataSet:
        digest = hashlib.md5(self.content).hexdigest()
        return DataSet(self.url, len(self.content), digest, "aclImdb", 1_000_000)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    served = Site(archive())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            served.asked.append(asked)
            if served.status:
                self.send_error(served.status.pop(0))
                return
            start = 0
            if asked and served.ranges:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                if start >= len(served.content):
                    self.send_error(416)
                    return
                self.send_response(206)
                last = len(served.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(served.content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(served.content) - start))
            self.end_headers()
            end = start + served.cut_at.pop(0) if served.cut_at else None
            self.wfile.write(served.content[start:end])

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setattr(fetch_module, "PAUSE", 0.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}/aclImdb_v1.tar.gz"
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_fetched_set_is_unpacked_and_reads_as_a_folder_a_class(site: Site, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    size = len(site.content)
    folder = fetch_set(site.data_set(), tmp_path / "new", progress=lambda *step: steps.append(step))
    assert folder == tmp_path / "new" / "aclImdb"
    assert len(files(folder)) == 15
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["aclImdb"]  # no archive, no draft
    assert ("download", size, size) in steps
    assert ("check", size, size) in steps
    assert steps[-1][0] == "unpack"
    source = detect(folder, DataConfig())
    assert sum(len(rows) for rows in read(source)) == 6
    assert "3 texts without labels" in source.describe()["note"]


def test_an_existing_data_set_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    fetch_set(site.data_set(), tmp_path)
    fetch_set(site.data_set(), tmp_path)
    assert len(site.asked) == 1


def test_an_interrupted_download_is_resumed(site: Site, tmp_path: Path) -> None:
    site.cut_at = [70_001, 1_000]
    folder = fetch_set(site.data_set(), tmp_path)
    assert len(files(folder)) == 15
    assert site.asked == [None, "bytes=70001-", "bytes=71001-"]


def test_the_next_run_resumes_after_all_tries_failed(site: Site, tmp_path: Path) -> None:
    site.cut_at = [50_000, 0, 0, 0]
    with pytest.raises(DataError, match=r"broke off at 50,000 of .* run the same command again to resume"):
        fetch_set(site.data_set(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["aclImdb_v1.tar.gz.part"]
    site.asked.clear()
    fetch_set(site.data_set(), tmp_path)
    assert site.asked == ["bytes=50000-"]


def test_a_server_without_ranges_sends_the_whole_file_again(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.cut_at = [50_000]
    folder = fetch_set(site.data_set(), tmp_path)
    assert len(files(folder)) == 15
    assert site.asked == [None, "bytes=50000-"]


def test_after_a_temporary_server_error_the_download_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.status = [503]
    fetch_set(site.data_set(), tmp_path)
    assert len(site.asked) == 2


def test_a_part_of_another_file_is_dropped(site: Site, tmp_path: Path) -> None:
    (tmp_path / "aclImdb_v1.tar.gz.part").write_bytes(b"x" * 1_000)
    with pytest.raises(DataError, match="is not the archive that was published"):
        fetch_set(site.data_set(), tmp_path)
    assert files(tmp_path) == []
    fetch_set(site.data_set(), tmp_path)  # clean again


def test_a_wrong_checksum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    wrong = replace(site.data_set(), md5="0" * 32)
    with pytest.raises(DataError, match="MD5"):
        fetch_set(wrong, tmp_path)
    assert files(tmp_path) == []


def test_a_longer_file_is_refused(site: Site, tmp_path: Path) -> None:
    short = replace(site.data_set(), size=1_000)
    with pytest.raises(DataError, match="sends more than the 1,000 bytes"):
        fetch_set(short, tmp_path)


def test_an_http_error_is_reported_with_a_hint(site: Site, tmp_path: Path) -> None:
    site.status = [404]
    with pytest.raises(DataError, match=r"answers 404 Not Found; .*--local FILE"):
        fetch_set(site.data_set(), tmp_path)


def test_an_unreachable_server_is_reported_in_one_line(tmp_path: Path) -> None:
    gone = DataSet("http://127.0.0.1:9/a.tar.gz", 10, "0" * 32, "aclImdb", 10)
    with pytest.raises(DataError, match=r"can't be reached .*; check the network"):
        fetch_set(gone, tmp_path)


@pytest.mark.parametrize(
    "url",
    ["http://[::1/x", "http://host:port/x", "http://", "http://a b/x", "http://ho\x7fst/x", "http://[x]/y"],
)
def test_a_malformed_address_is_refused_in_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        fetch("imdb", tmp_path, url=url)
    assert "\n" not in str(refused.value)
    assert "--local FILE" in str(refused.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "nothing"])
def test_other_kinds_of_address_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not an http or https address"):
        fetch("imdb", tmp_path, url=url)
    assert files(tmp_path) == []


def test_a_local_copy_needs_no_network(site: Site, tmp_path: Path) -> None:
    copy = tmp_path / "copy.tar.gz"
    copy.write_bytes(site.content)
    folder = fetch_set(site.data_set(), tmp_path / "data", local=copy)
    assert len(files(folder)) == 15
    assert copy.exists()
    assert site.asked == []


def test_a_local_copy_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tar.gz"
    copy.write_bytes(b"12345")
    with pytest.raises(DataError, match=r"copy.tar.gz: has 5 bytes instead of 84,125,825"):
        fetch("imdb", tmp_path / "data", local=copy)
    assert files(tmp_path / "data") == []


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 4) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    member.size = size if kind == tarfile.REGTYPE else 0
    return member


@pytest.mark.parametrize(
    ("member", "what"),
    [
        (_member("../evil.txt"), "outside its folder"),
        (_member("/tmp/evil.txt"), "outside its folder"),
        (_member("aclImdb/../../evil.txt"), "outside its folder"),
        (_member("aclImdb/link", tarfile.SYMTYPE, "/etc/passwd"), "link or device"),
        (_member("aclImdb/hard", tarfile.LNKTYPE, "aclImdb/train/pos/0_7.txt"), "link or device"),
        (_member("aclImdb/fifo", tarfile.FIFOTYPE), "link or device"),
        (_member("aclImdb/bomb.txt", size=5_000_000), "more contents than the published"),
    ],
)
def test_a_malicious_member_leaves_nothing(
    site: Site, member: tarfile.TarInfo, what: str, tmp_path: Path
) -> None:
    site.content = archive(member)
    with pytest.raises(DataError, match=what):
        fetch_set(site.data_set(), tmp_path / "data")
    assert not (tmp_path / "data" / "aclImdb").exists()
    assert not list(tmp_path.rglob("evil*"))
    assert not list((tmp_path / "data").glob(".aclImdb*"))


@pytest.mark.parametrize("content", [b"not an archive", archive()[:2_000]])
def test_a_file_that_is_not_an_archive_is_refused(site: Site, content: bytes, tmp_path: Path) -> None:
    site.content = content
    with pytest.raises(DataError, match=r"is not a whole tar.gz archive|can't be read"):
        fetch_set(site.data_set(), tmp_path)
    assert not (tmp_path / "aclImdb").exists()


def test_an_existing_folder_of_the_same_name_is_kept(tmp_path: Path) -> None:
    (tmp_path / "aclImdb").mkdir()
    with pytest.raises(OutputError, match="is in the way"):
        fetch("imdb", tmp_path)


def test_a_full_disk_is_reported_before_the_download(site: Site, tmp_path: Path) -> None:
    huge = replace(site.data_set(), unpacked=1 << 60)
    with pytest.raises(OutputError, match="there is not enough room"):
        fetch_set(huge, tmp_path)
    assert site.asked == []


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="can't be written"):
        fetch("imdb", tmp_path / "file" / "data")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are imdb"):
        fetch("imbd", tmp_path)


def test_imdb_is_the_authors_archive() -> None:
    imdb = DATA_SETS["imdb"]
    assert imdb.url == "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
    assert (imdb.size, imdb.md5) == (84_125_825, "7c2ac02c03563afcf9b574c7e56c153a")
