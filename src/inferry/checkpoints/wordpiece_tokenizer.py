"""BERT's tokenizer as one tokenizer.json, from whatever a folder or an archive holds of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

FILES: Final = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "config.json")
"""What is read of a tokenizer folder."""

SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Tokens that stand for themselves in a text, as transformers' BertTokenizer has them."""

_NEEDED: Final = SPECIAL[:4]


@dataclass(frozen=True)
class TokenizerFile:
    """A tokenizer that was found.

    Attributes:
        json: The content of tokenizer.json; empty where there are problems.
        size: Number of its tokens.
        problems: All that is wrong, each a sentence.
        notes: What was assumed, each a sentence.
        text_model: The config.json of the text model that lay beside it; empty if there was none.
    """

    json: str
    size: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    text_model: str = ""


def read_folder(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The text files of a tokenizer folder, by name, and the problems."""
    if not folder.is_dir():
        return {}, [f"the tokenizer folder {folder} does not exist"]
    texts: dict[str, str] = {}
    problems = []
    for name in FILES:
        try:
            texts[name] = (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{folder / name} cannot be read: {error}")
    if not problems and not {"tokenizer.json", "vocab.txt"} & texts.keys():
        problems.append(f"the tokenizer folder {folder} has neither tokenizer.json nor vocab.txt")
    return texts, problems


def make_tokenizer(texts: Mapping[str, str], model_name: str) -> TokenizerFile:
    """A tokenizer from ``tokenizer.json``, or from ``vocab.txt`` and ``tokenizer_config.json``.

    Args:
        texts: These files' contents, by name.
        model_name: The Hugging Face name, which says whether text is lower-cased where no file does.
    """
    notes: list[str] = []
    if "tokenizer.json" in texts:
        try:
            tokenizer = Tokenizer.from_str(texts["tokenizer.json"])
        except Exception as error:  # noqa: BLE001 -- the package raises bare Exception
            return TokenizerFile("", problems=(f"tokenizer.json cannot be read: {error}",))
    else:
        words = texts["vocab.txt"].splitlines()
        if len(set(words)) != len(words):
            return TokenizerFile("", problems=("vocab.txt has the same token twice",))
        missing = [token for token in _NEEDED if token not in words]
        if missing:
            return TokenizerFile("", problems=(f"vocab.txt has no {', '.join(missing)}",))
        lower, notes = _lower(texts, model_name)
        tokenizer = _from_words({word: index for index, word in enumerate(words)}, lower=lower)
    missing = [token for token in _NEEDED if tokenizer.token_to_id(token) is None]
    if missing:
        return TokenizerFile("", problems=(f"the tokenizer has no {', '.join(missing)}",))
    tokenizer.no_padding()
    tokenizer.no_truncation()  # the original has no greatest length either
    return TokenizerFile(tokenizer.to_str(), tokenizer.get_vocab_size(), (), tuple(notes))


def _from_words(words: dict[str, int], *, lower: bool) -> Tokenizer:
    """As transformers' BertTokenizer, which AllenNLP uses."""
    tokenizer = Tokenizer(WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106 -- no password
    tokenizer.normalizer = BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", words["[SEP]"]), ("[CLS]", words["[CLS]"]))
    tokenizer.add_special_tokens([token for token in SPECIAL if token in words])
    return tokenizer


def _lower(texts: Mapping[str, str], model_name: str) -> tuple[bool, list[str]]:
    given = _object(texts.get("tokenizer_config.json", "")).get("do_lower_case")
    if isinstance(given, bool):
        return given, []
    if "cased" in model_name:
        return "uncased" in model_name, []
    return True, ["questions are lower-cased, because nothing says whether the text model keeps capitals"]


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
