"""Against servers on 127.0.0.1: a release server, and a hub that answers like Hugging Face's resolve addresses."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from inferry.checkpoints import download as module
from inferry.checkpoints.download import default_cache, fetch
from inferry.checkpoints.http_download import TransferError, download
from inferry.core.errors import DownloadError
from inferry.core.protocols import Preset, PresetFile

CONTENT = bytes(range(256)) * 400
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`; `breaks` says after how many bytes the next answers break off."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/model.ckpt": CONTENT}
        self.breaks = []
        self.ranges = True
        self.labels = True
        self.status = None
        self.requests = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        server, asked = self.server, self.headers.get("Range")
        server.requests.append((self.command, self.path, asked))
        content = server.files.get(self.path)
        if server.status or content is None:
            self.send_response(server.status or 404)
            if "/resolve/" in self.path and not server.status:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        label = f'"{hashlib.sha256(content).hexdigest()}"'
        start = int(asked[6:].split("-")[0]) if asked and server.ranges else 0
        if self.headers.get("If-Range", label) != label:
            start = 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if server.labels:
            self.send_header("ETag", label)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            end = start + server.breaks.pop(0) if server.breaks else len(content)
            self.wfile.write(content[start:end])
            self.close_connection = end < len(content)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def preset_of(server, **changes):
    return Preset(
        "an4", "", "https://example.org/release", (PresetFile("model.ckpt", f"{server.address}/model.ckpt", **changes),)
    )


def ranges(server):
    return [asked for _, _, asked in server.requests]


def test_a_release_is_fetched_once(server, tmp_path):
    preset = preset_of(server, size=len(CONTENT), sha256=SHA)
    for _ in range(2):
        folder = fetch(preset, "deepspeech2", tmp_path)
    assert folder == tmp_path / "deepspeech2" / "an4"
    assert [file.name for file in folder.iterdir()] == ["model.ckpt"]
    assert (folder / "model.ckpt").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_the_first_digits_of_a_digest_are_enough(server, tmp_path):
    preset = preset_of(server, sha256=SHA[:8])
    for _ in range(2):
        assert (fetch(preset, "deepspeech2", tmp_path) / "model.ckpt").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_file_put_there_by_hand_is_used(server, tmp_path):
    folder = tmp_path / "deepspeech2" / "an4"
    folder.mkdir(parents=True)
    (folder / "model.ckpt").write_bytes(CONTENT)
    assert fetch(preset_of(server, sha256=SHA), "deepspeech2", tmp_path) == folder
    assert server.requests == []


@pytest.mark.parametrize("wrong", [b"short", b"\0" * len(CONTENT)])
def test_a_wrong_file_in_the_cache_is_replaced(wrong, server, tmp_path):
    folder = tmp_path / "deepspeech2" / "an4"
    folder.mkdir(parents=True)
    (folder / "model.ckpt").write_bytes(wrong)
    fetch(preset_of(server, size=len(CONTENT), sha256=SHA), "deepspeech2", tmp_path)
    assert (folder / "model.ckpt").read_bytes() == CONTENT


def test_a_broken_connection_is_resumed_within_one_call(server, tmp_path):
    server.breaks = [1000, 70000]
    download(f"{server.address}/model.ckpt", tmp_path / "x", sha256=SHA)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000-", "bytes=71000-"]


def test_a_broken_transfer_is_resumed_by_the_next_call(server, tmp_path):
    server.breaks = [10, 20, 30]
    with pytest.raises(TransferError, match="broke off"):
        download(f"{server.address}/model.ckpt", tmp_path / "x", sha256=SHA)
    assert not (tmp_path / "x").exists()
    assert (tmp_path / "x.part").stat().st_size == 60
    download(f"{server.address}/model.ckpt", tmp_path / "x", sha256=SHA)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert ranges(server)[-1] == "bytes=60-"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_a_server_that_ignores_ranges(server, tmp_path):
    server.ranges, server.breaks = False, [1000]
    download(f"{server.address}/model.ckpt", tmp_path / "x", size=len(CONTENT))
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_server_without_labels_starts_again(server, tmp_path):
    server.labels, server.breaks = False, [1000]
    download(f"{server.address}/model.ckpt", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert ranges(server) == [None, None]


def test_a_file_that_changed_meanwhile_is_not_mixed(server, tmp_path):
    server.breaks = [10, 20, 30]
    with pytest.raises(TransferError):
        download(f"{server.address}/model.ckpt", tmp_path / "x")
    server.files["/model.ckpt"] = CONTENT[::-1]
    download(f"{server.address}/model.ckpt", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT[::-1]


def test_a_part_that_is_longer_than_the_file(server, tmp_path):
    (tmp_path / "x.part").write_bytes(CONTENT + b"more")
    (tmp_path / "x.part.etag").write_text(f'"{SHA}"')
    download(f"{server.address}/model.ckpt", tmp_path / "x", sha256=SHA)
    assert (tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sha256": "0" * 64}, f"sha256 is {SHA}, expected {'0' * 64}"),
        ({"sha256": SHA[1:9]}, f"sha256 is {SHA}, expected {SHA[1:9]}"),
        ({"size": 5}, "bytes, expected 5"),
    ],
)
def test_another_file_than_expected_is_not_kept(changes, text, server, tmp_path):
    with pytest.raises(DownloadError, match=text):
        fetch(preset_of(server, **changes), "deepspeech2", tmp_path)
    assert list((tmp_path / "deepspeech2" / "an4").iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_refusal_says_what_to_put_where(status, server, tmp_path):
    server.status = status
    with pytest.raises(DownloadError) as caught:
        fetch(preset_of(server), "deepspeech2", tmp_path)
    message = str(caught.value)
    for text in (
        f"answers {status}",
        f"{server.address}/model.ckpt",
        str(tmp_path / "deepspeech2" / "an4"),
        "https://example.org/release",
        "--checkpoint",
    ):
        assert text in message


def test_a_refusal_names_the_option_that_takes_the_files(server, tmp_path):
    server.status = 403
    with pytest.raises(DownloadError, match="give that folder to --detector"):
        fetch(preset_of(server), "vilbert-vqa", tmp_path, option="--detector")


def test_no_server_at_all(server, tmp_path):
    preset = preset_of(server)
    server.server_close()
    with pytest.raises(DownloadError, match="no connection"):
        fetch(preset, "deepspeech2", tmp_path)


def test_other_schemes_are_refused(tmp_path):
    (tmp_path / "secret").write_text("x")
    preset = Preset("a", "", "", (PresetFile("x", (tmp_path / "secret").as_uri()),))
    with pytest.raises(DownloadError, match="http"):
        fetch(preset, "deepspeech2", tmp_path)


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(preset_of(server), "deepspeech2", tmp_path / "file")


def test_the_cache_of_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("INFERRY_CACHE", str(tmp_path / "cache"))
    assert fetch(preset_of(server), "deepspeech2") == tmp_path / "cache" / "deepspeech2" / "an4"
    monkeypatch.delenv("INFERRY_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "inferry"


@pytest.fixture
def hub(server, monkeypatch):
    """The real huggingface_hub client, pointed at a local server that knows the resolve addresses."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    names = ("config.json", "vocab.json", "model.safetensors", "pytorch_model.bin")
    server.files = {f"/facebook/small/resolve/main/{name}": name.encode() * 50 for name in names}
    return server


def hub_preset():
    names = {"config.json": True, "vocab.json": True, "model.safetensors": False, "pytorch_model.bin": False}
    files = tuple(PresetFile(name, repo="facebook/small", required=required) for name, required in names.items())
    return Preset("facebook/small", "", "https://huggingface.co/facebook/small", files)


def present(folder):
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def test_a_repository_is_fetched_once_and_weights_only_once(hub, tmp_path):
    folder = fetch(hub_preset(), "wav2vec2", tmp_path)
    assert folder == tmp_path / "wav2vec2" / "facebook--small"
    assert present(folder) == ["config.json", "model.safetensors", "vocab.json"]
    assert (folder / "vocab.json").read_bytes() == b"vocab.json" * 50
    asked = len(hub.requests)
    fetch(hub_preset(), "wav2vec2", tmp_path)
    assert len(hub.requests) == asked


def test_a_repository_without_safetensors(hub, tmp_path):
    del hub.files["/facebook/small/resolve/main/model.safetensors"]
    assert present(fetch(hub_preset(), "wav2vec2", tmp_path)) == ["config.json", "pytorch_model.bin", "vocab.json"]


def test_a_repository_without_a_required_file(hub, tmp_path):
    del hub.files["/facebook/small/resolve/main/vocab.json"]
    with pytest.raises(DownloadError, match=r"has no vocab\.json") as caught:
        fetch(hub_preset(), "wav2vec2", tmp_path)
    assert "https://huggingface.co/facebook/small/resolve/main/vocab.json" in str(caught.value)
    assert "- config.json" not in str(caught.value)


def test_a_hub_that_cannot_be_reached(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError) as caught:
        fetch(hub_preset(), "wav2vec2", tmp_path)
    for text in ("- config.json", "pytorch_model.bin (if there is one)", "--checkpoint", str(tmp_path)):
        assert text in str(caught.value)


def test_a_hub_file_with_another_digest_is_not_kept(hub, tmp_path):
    preset = Preset("p", "", "", (PresetFile("vocab.json", repo="facebook/small", sha256="0" * 64),))
    with pytest.raises(DownloadError, match="sha256"):
        fetch(preset, "wav2vec2", tmp_path)
    assert present(tmp_path / "wav2vec2" / "p") == []


def test_an_unforeseen_error_of_the_client_is_a_download_error(monkeypatch, tmp_path):
    import huggingface_hub

    def fail(*_, **__):
        raise RuntimeError("odd")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(DownloadError, match="RuntimeError: odd"):
        module.fetch(hub_preset(), "wav2vec2", tmp_path)
