"""Checkpoints forged byte by byte, so that these tests need neither torch nor the original packages."""

import json
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from inferry.checkpoints.deepspeech_table import deepspeech_table
from inferry.checkpoints.speech_tables import data2vec_audio_table, wav2vec2_table

CONVOLUTION = "wav2vec2.encoder.pos_conv_embed.conv"


@dataclass(frozen=True)
class Named:
    """A global."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A global called (REDUCE), optionally with a state (BUILD)."""

    function: Named
    args: tuple[Any, ...] = ()
    state: Any = None


@dataclass(frozen=True)
class Persistent:
    """A persistent id."""

    id: Any


def encode(value: Any) -> bytes:  # noqa: C901, PLR0911 -- a table of types
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(encode, value)) + b"t"
        case list():
            return b"](" + b"".join(map(encode, value)) + b"e"
        case dict():
            return b"}(" + b"".join(encode(key) + encode(item) for key, item in value.items()) + b"u"
        case Named():
            return f"c{value.module}\n{value.name}\n".encode()
        case Call():
            built = b"" if value.state is None else encode(value.state) + b"b"
            return encode(value.function) + encode(value.args) + b"R" + built
        case Persistent():
            return encode(value.id) + b"Q"
    raise TypeError(value)


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + encode(value) + b"."


_STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "float64": "DoubleStorage", "int64": "LongStorage"}


@dataclass
class TorchForge:
    """Collects storages while a tree of objects is written."""

    storages: dict[str, np.ndarray] = field(default_factory=dict)

    def tensor(self, array: np.ndarray, **changes: Any) -> Call:
        key = str(len(self.storages))
        self.storages[key] = np.array(array, order="C")
        kind = Named("torch", _STORAGES[str(array.dtype)])
        strides = tuple(stride // array.itemsize for stride in self.storages[key].strides)
        place = {"offset": 0, "shape": array.shape, "strides": strides, "numel": array.size} | changes
        storage = Persistent(("storage", kind, changes.get("key", key), "cpu", place["numel"]))
        hooks = Call(Named("collections", "OrderedDict"))
        arguments = (storage, place["offset"], place["shape"], place["strides"], False, hooks)
        return Call(Named("torch._utils", "_rebuild_tensor_v2"), arguments)

    def state(self, tensors: dict[str, np.ndarray]) -> dict[str, Call]:
        return {name: self.tensor(array) for name, array in tensors.items()}

    def write_zip(self, path: Path, content: Any, byteorder: str = "little") -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("archive/data.pkl", content if isinstance(content, bytes) else pickled(content))
            archive.writestr("archive/byteorder", byteorder)
            for key, array in self.storages.items():
                data = array.byteswap().tobytes() if byteorder == "big" else array.tobytes()
                archive.writestr(f"archive/data/{key}", data)
        return path

    def write_legacy(self, path: Path, content: Any) -> Path:
        main = content if isinstance(content, bytes) else pickled(content)
        head = pickled(0x1950A86A20F9469CFC6C) + pickled(1001) + pickled({"little_endian": True})
        body = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in self.storages.values())
        path.write_bytes(head + main + pickled(list(self.storages)) + body)
        return path


CONFIG = {
    "architectures": ["Wav2Vec2ForCTC"],
    "model_type": "wav2vec2",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 6,
    "conv_dim": [4, 6],
    "conv_kernel": [10, 3],
    "conv_stride": [5, 2],
    "conv_bias": False,
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "do_stable_layer_norm": False,
    "hidden_act": "gelu",
    "add_adapter": False,
}
TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "|", "E"]
DEEPSPEECH = {
    "rnn_type": "lstm",
    "bidirectional": True,
    "hidden_size": 6,
    "hidden_layers": 2,
    "lookahead_context": 4,
    "sample_rate": 16000,
    "window_size": 0.02,
    "window_stride": 0.01,
    "window": "hamming",
    "labels": ["_", "A", " "],
}


def random_tensors(table: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(7)
    return {name: generator.standard_normal(shape, np.float32) for name, shape in table.items()}


@dataclass
class SpeechFolder:
    """A Hugging Face folder in the making: change its parts, then write it."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    preprocessor: dict[str, Any] | None = field(default_factory=lambda: {"do_normalize": True, "sampling_rate": 16000})
    vocabulary: Any = field(default_factory=lambda: {token: index for index, token in enumerate(TOKENS)})
    tokenizer: dict[str, Any] | None = None

    def write(self, *, weights: bool = True) -> Path:
        texts = {"config": self.config, "preprocessor_config": self.preprocessor, "vocab": self.vocabulary}
        for name, content in {**texts, "tokenizer_config": self.tokenizer}.items():
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                (self.folder / f"{name}.json").write_text(text, encoding="utf-8")
        if weights:
            save_file(self.tensors, self.folder / "model.safetensors")
        return self.folder


@pytest.fixture
def wav2vec2(tmp_path) -> SpeechFolder:
    tensors = random_tensors(wav2vec2_table(CONFIG))
    del tensors[f"{CONVOLUTION}.weight"]
    generator = np.random.default_rng(8)
    tensors[f"{CONVOLUTION}.weight_g"] = generator.uniform(0.5, 2, (1, 1, 6)).astype(np.float32)
    tensors[f"{CONVOLUTION}.weight_v"] = generator.standard_normal((8, 4, 6), np.float32)
    tensors["wav2vec2.masked_spec_embed"] = np.zeros(8, np.float32)
    return SpeechFolder(tmp_path, json.loads(json.dumps(CONFIG)), tensors)


@pytest.fixture
def data2vec(tmp_path) -> SpeechFolder:
    config = {**CONFIG, "model_type": "data2vec-audio", "architectures": ["Data2VecAudioForCTC"]}
    config |= {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 3}
    return SpeechFolder(tmp_path, config, random_tensors(data2vec_audio_table(config)))


@dataclass
class DeepSpeechFile:
    """A Lightning checkpoint in the making."""

    path: Path
    forge: TorchForge
    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    direction: str = "BiDirectionalConfig"
    remove: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def node(self, value: Any) -> Call:
        kind = {int: "IntegerNode", float: "FloatNode"}.get(type(value), "EnumNode")
        return Call(Named("omegaconf.nodes", kind), (), {"_metadata": None, "_parent": None, "_val": value})

    def section(self, kind: str, values: dict[str, Any]) -> Call:
        named = Named("deepspeech_pytorch.configs.train_config", kind)
        metadata = Call(Named("omegaconf.base", "ContainerMetadata"), (), {"object_type": named})
        content = {key: self.node(value) for key, value in values.items()}
        state = {"_metadata": metadata, "_parent": None, "_content": content}
        return Call(Named("omegaconf.dictconfig", "DictConfig"), (), state)

    def content(self) -> dict[str, Any]:
        enums, config = "deepspeech_pytorch.enums", dict(self.config)
        if config["rnn_type"] in {"lstm", "gru", "rnn"}:
            rnn = Named("torch.nn.modules.rnn", config["rnn_type"].upper())
            config["rnn_type"] = Call(Named(enums, "RNNType"), (rnn,))
        config["window"] = Call(Named(enums, "SpectrogramWindow"), (config["window"],))
        model = ["rnn_type", "hidden_size", "hidden_layers"]
        model += ["lookahead_context"] * (self.direction == "UniDirectionalConfig")
        spectrogram = ("sample_rate", "window_size", "window_stride", "window")
        parameters = {
            "labels": config["labels"],
            "model_cfg": self.section(self.direction, {key: config[key] for key in model}),
            "spect_cfg": self.section("SpectConfig", {key: config[key] for key in spectrogram}),
        }
        parameters = {key: value for key, value in parameters.items() if key not in self.remove}
        state = {**self.forge.state(self.tensors), **self.extra}
        return {"epoch": 1, "state_dict": state, "hyper_parameters": parameters}

    def write(self) -> Path:
        return self.forge.write_zip(self.path, self.content())


@pytest.fixture
def deepspeech(tmp_path):
    """A function that makes a DeepSpeech2 file with these settings and fitting tensors."""

    def make(*, tensors_of: dict[str, Any] | None = None, **changes: Any) -> DeepSpeechFile:
        config = {**DEEPSPEECH, **changes}
        tensors = random_tensors(deepspeech_table({**config, **(tensors_of or {})}))
        tensors["conv.seq_module.1.num_batches_tracked"] = np.array(3, np.int64)
        direction = "BiDirectionalConfig" if config["bidirectional"] else "UniDirectionalConfig"
        return DeepSpeechFile(tmp_path / "model.ckpt", TorchForge(), config, tensors, direction)

    return make


@pytest.fixture
def forge() -> TorchForge:
    return TorchForge()


@dataclass(frozen=True)
class Opcodes:
    """What a test needs to write pickles by hand."""

    named: type = Named
    call: type = Call
    persistent: type = Persistent

    def pickled(self, value: Any) -> bytes:
        return pickled(value)

    def encode(self, value: Any) -> bytes:
        return encode(value)


@pytest.fixture(scope="session")
def opcodes() -> Opcodes:
    return Opcodes()


@pytest.fixture
def object_of():
    """A function that makes an object of a class with a state, as a pickle holds it."""

    def make(module: str, name: str, state: dict[str, Any]) -> Call:
        return Call(Named(module, name), (), state)

    return make
