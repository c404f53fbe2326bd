import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inferry.checkpoints.allennlp_vilbert import read_vilbert
from inferry.checkpoints.vilbert_table import vilbert_table
from inferry.core.errors import CheckpointError

SIZES: dict[str, Any] = {
    "text": {
        "hidden_size": 8,
        "intermediate_size": 12,
        "num_hidden_layers": 3,
        "vocab_size": 9,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
    },
    "image": {
        "hidden_size": 6,
        "intermediate_size": 10,
        "num_hidden_layers": 2,
        "feature_size": 5,
        "location_bias": False,
    },
    "combined": {"hidden_size": 4},
    "num_exchanges": 2,
    "pooled_output_dim": 7,
    "num_answers": 4,
}
ENCODER = {
    "activation": "gelu",
    "biattention_id1": [1, 2],
    "biattention_id2": [0, 1],
    "combined_hidden_size": 4,
    "combined_num_attention_heads": 2,
    "fixed_layer1": 0,
    "fixed_layer2": 0,
    "hidden_size1": 8,
    "hidden_size2": 6,
    "intermediate_size1": 12,
    "intermediate_size2": 10,
    "num_attention_heads1": 4,
    "num_attention_heads2": 3,
    "num_hidden_layers1": 3,
    "num_hidden_layers2": 2,
}
EXPLICIT = {
    "type": "vqa_vilbert",
    "encoder": ENCODER,
    "fusion_method": "mul",
    "image_embeddings": {"embedding_size": 6, "feature_size": 5},
    "pooled_output_dim": 7,
    "text_embeddings": {"embedding_size": 8, "max_position_embeddings": 16, "type_vocab_size": 2, "vocab_size": 9},
}
HUGGINGFACE = {
    "type": "vqa_vilbert_from_huggingface",
    "model_name": "bert-base-uncased",
    "combined_hidden_size": 4,
    "combined_num_attention_heads": 2,
    "fusion_method": "mul",
    "image_biattention_id": [0, 1],
    "image_feature_dim": 5,
    "image_fixed_layer": 0,
    "image_hidden_size": 6,
    "image_intermediate_size": 10,
    "image_num_attention_heads": 3,
    "image_num_hidden_layers": 2,
    "pooled_output_dim": 7,
    "text_biattention_id": [1, 2],
    "text_fixed_layer": 0,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "is", "it", "red", "?"]


@dataclass
class ArchiveFile:
    """An archive in the making: change its parts, then write it."""

    path: Path
    forge: Any
    tensors: dict[str, np.ndarray]
    model: dict[str, Any]
    members: dict[str, bytes]
    weights: str = "weights.th"
    links: dict[str, str] = field(default_factory=dict)
    legacy: bool = False

    def write(self) -> Path:
        self.members.setdefault("config.json", json.dumps({"model": self.model}).encode())
        if self.weights:
            file, content = self.path.with_name("weights"), self.forge.state(self.tensors)
            write = self.forge.write_legacy if self.legacy else self.forge.write_zip
            self.members[self.weights] = write(file, content).read_bytes()
        with tarfile.open(self.path, "w:gz") as archive:
            for name, data in self.members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
            for name, target in self.links.items():
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                archive.addfile(entry)
        return self.path


def tensors_of(sizes):
    generator = np.random.default_rng(5)
    return {name: generator.standard_normal(shape, np.float32) for name, shape in vilbert_table(sizes).items()}


@pytest.fixture
def archive(tmp_path, forge) -> ArchiveFile:
    members = {
        "vocabulary/answers.txt": b"@@UNKNOWN@@\nyes\nno\n",
        "vocabulary/non_padded_namespaces.txt": b"*labels\n*tags\n",
        "vocabulary/tags.txt": "\n".join(WORDS).encode(),
    }
    return ArchiveFile(tmp_path / "model.tar.gz", forge, tensors_of(SIZES), json.loads(json.dumps(EXPLICIT)), members)


def problems_of(path, tokenizer=None):
    with pytest.raises(CheckpointError) as caught:
        read_vilbert(path, tokenizer)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("weights", ["weights.th", "best.th"])
def test_an_archive_with_every_size(archive, weights, legacy):
    archive.weights, archive.legacy = weights, legacy
    checkpoint = read_vilbert(archive.write())
    assert checkpoint.config["text"] == {**SIZES["text"], "num_attention_heads": 4}
    assert checkpoint.config["image"] == {**SIZES["image"], "num_attention_heads": 3}
    assert checkpoint.config["combined"] == {"hidden_size": 4, "num_attention_heads": 2}
    assert checkpoint.config["fusion_method"] == "mul"
    assert checkpoint.files["answers.txt"] == "@@PADDING@@\n@@UNKNOWN@@\nyes\nno\n"
    assert json.loads(checkpoint.files["tokenizer.json"])["model"]["vocab"]["red"] == 7
    unused = {name for name in archive.tensors if "layers1.2." in name or "layers2.1." in name}
    assert checkpoint.tensors.keys() == archive.tensors.keys() - unused
    for name, tensor in checkpoint.tensors.items():
        np.testing.assert_array_equal(tensor, archive.tensors[name])


def test_an_archive_that_only_names_its_text_model(archive):
    sizes = json.loads(json.dumps(SIZES))
    sizes["text"]["hidden_size"], sizes["combined"]["hidden_size"] = 128, 4
    archive.tensors, archive.model = tensors_of(sizes), HUGGINGFACE
    config = read_vilbert(archive.write()).config
    assert config["text"] == {**sizes["text"], "num_attention_heads": 2}
    assert (config["text_biattention_id"], config["image_biattention_id"]) == ([1, 2], [0, 1])


def test_the_heads_of_a_tokenizer_folder_come_before_a_rule(archive, tmp_path):
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 4, "hidden_size": 8}))
    archive.model = HUGGINGFACE
    del archive.members["vocabulary/tags.txt"]
    checkpoint = read_vilbert(archive.write(), folder)
    assert checkpoint.config["text"]["num_attention_heads"] == 4
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 4, "hidden_size": 16}))
    assert "states text.hidden_size 16, but the weights have 8" in problems_of(archive.path, folder)


def test_a_tokenizer_is_looked_for_by_the_name_of_the_text_model(archive, tmp_path):
    folder, asked = tmp_path / "bert", []
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 4, "hidden_size": 8}))
    archive.model = HUGGINGFACE
    words = archive.members.pop("vocabulary/tags.txt")

    def find(name):
        asked.append(name)
        return folder

    checkpoint = read_vilbert(archive.write(), find_tokenizer=find)
    assert asked == ["bert-base-uncased"]
    assert checkpoint.config["text"]["num_attention_heads"] == 4
    assert checkpoint.processor["input"]["vocab_size"] == len(WORDS)
    assert "that of bert-base-uncased, which it names, was taken" in checkpoint.notes[0]
    with pytest.raises(CheckpointError, match=r"it holds no tokenizer .* of bert-base-uncased \(--tokenizer\)"):
        read_vilbert(archive.path, find_tokenizer=lambda _: None)
    archive.members["vocabulary/tags.txt"] = words
    read_vilbert(archive.write(), folder, find_tokenizer=find)
    assert len(asked) == 1


def test_an_older_archive_has_a_location_bias(archive):
    name = "backbone.image_embeddings.embeddings.location_embeddings.bias"
    archive.tensors[name] = np.ones(6, np.float32)
    checkpoint = read_vilbert(archive.write())
    assert checkpoint.config["image"]["location_bias"] is True
    assert name in checkpoint.tensors


def test_an_older_archive_has_one_number_of_heads(archive):
    for name in ("num_attention_heads1", "num_attention_heads2", "combined_num_attention_heads"):
        del archive.model["encoder"][name]
    archive.model["encoder"]["num_attention_heads"] = 2
    config = read_vilbert(archive.write()).config
    assert [config[name]["num_attention_heads"] for name in ("text", "image", "combined")] == [2, 2, 2]


def test_no_path_of_an_archive_is_ever_written(archive, tmp_path):
    archive.members["../escaped.txt"] = b"x"
    archive.members[str(tmp_path / "absolute.txt")] = b"x"
    before = {*archive.path.parent.iterdir(), archive.write(), archive.path.with_name("weights")}
    read_vilbert(archive.path)
    assert {*tmp_path.iterdir()} == before
    assert not (tmp_path.parent / "escaped.txt").exists()


def test_a_link_in_the_place_of_a_member_is_refused(archive):
    del archive.members["vocabulary/answers.txt"]
    archive.links["vocabulary/answers.txt"] = "/etc/passwd"
    assert "vocabulary/answers.txt is a link" in problems_of(archive.write())


def test_all_problems_are_told_at_once(archive):
    archive.members |= {"vocabulary/answers.txt": b"yes\nyes\n", "vocabulary/tags.txt": b"[PAD]\n[UNK]\nred"}
    archive.model["encoder"] |= {"biattention_id1": [2, 1], "num_attention_heads2": 4, "activation": "relu"}
    archive.model |= {"fusion_method": "max", "pooled_output_dim": 8}
    told = problems_of(archive.write())
    for part in (
        "has the same answer twice",
        "begins with 'yes'",
        "vocab.txt has no [CLS], [SEP]",
        "expected them in ascending order",
        "num_attention_heads2 4, expected a number of heads that divides 6",
        "activation 'relu'",
        "fusion_method 'max'",
        "states pooled_output_dim 8, but the weights have 7",
    ):
        assert part in told


def test_wrong_tensors_and_vocabularies_are_told(archive):
    del archive.tensors["backbone.t_pooler.dense.bias"]
    archive.tensors["extra"] = np.zeros(1, np.float32)
    archive.tensors["classifier.bias"][0] = np.nan
    archive.members["vocabulary/answers.txt"] = b"@@UNKNOWN@@\nyes\n"
    archive.members["vocabulary/tags.txt"] = "\n".join([*WORDS, "more"]).encode()
    told = problems_of(archive.write())
    assert "tensor backbone.t_pooler.dense.bias [7] is missing" in told
    assert "tensor extra [1] is not expected" in told
    assert "not finite" in told
    assert "make 3 answers, the classifier has 4" in told
    assert "the tokenizer has 10 tokens, the weights only 9" in told


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"vocabulary/tags.txt": None}, "it holds no tokenizer"),
        ({"vocabulary/answers.txt": None}, "it has no vocabulary/answers.txt"),
        ({"config.json": b"[1]"}, "config.json has no section model"),
        ({"config.json": b"{"}, "config.json cannot be read as JSON"),
        ({"config.json": b'{"model": {"type": "nlvr2"}}'}, "a model of type 'nlvr2'"),
        ({"vocabulary/answers.txt": b"\xff"}, "is no UTF-8 text"),
        ({"tokenizer.json": b"{}"}, "tokenizer.json cannot be read"),
        ({"vocabulary/non_padded_namespaces.txt": b"answers\n"}, "a namespace without padding"),
    ],
    ids=str,
)
def test_a_broken_archive(archive, change, expected):
    archive.members |= {name: data for name, data in change.items() if data is not None}
    for name in (name for name, data in change.items() if data is None):
        del archive.members[name]
    assert expected in problems_of(archive.write())


def test_no_weights(archive):
    archive.weights = ""
    assert "it has no weight file; expected weights.th or best.th" in problems_of(archive.write())


def test_code_in_the_weights_is_refused(archive, opcodes, forge):
    path = archive.path.with_name("evil")
    forge.write_zip(path, opcodes.pickled(opcodes.call(opcodes.named("os", "system"), ("true",))))
    archive.weights = ""
    archive.members["weights.th"] = path.read_bytes()
    assert "os.system" in problems_of(archive.write())


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "model.tar.gz").write_bytes(b"no archive")
    assert problems_of(tmp_path) == "it cannot be read as a tar archive: file could not be opened successfully"
    assert "it does not exist" in problems_of(tmp_path / "other.tar.gz")


def test_an_archive_that_is_cut_off(archive):
    data = archive.write().read_bytes()
    archive.path.write_bytes(data[: len(data) // 2])
    assert "cannot be read as a tar archive" in problems_of(archive.path)


def test_a_tokenizer_folder_without_a_tokenizer(archive, tmp_path):
    (tmp_path / "empty").mkdir()
    archive.write()
    assert "has neither tokenizer.json nor vocab.txt" in problems_of(archive.path, tmp_path / "empty")
    assert "does not exist" in problems_of(archive.path, tmp_path / "none")
