"""A pretrained model's folder: where it is, what it says about pooling, and its weights, read without pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..errors import ManymodalError

FILES = ("*.json", "*.txt", "*.model", "*.safetensors")  # what a model is made of
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True)
class Recipe:
    """How sentence vectors are made of a transformer's last hidden states.

    Args:
        transformer: the folder with the transformer itself.
        pooling: "mean" over the tokens, or "cls", the first one.
        normalise: whether vectors are divided by their norm.
        longest: of a text, in tokens; None where the folder does not say.
        lower_case: whether texts are put in lower case first.
    """

    transformer: Path
    pooling: str = "mean"
    normalise: bool = False
    longest: int | None = None
    lower_case: bool = False

    @classmethod
    def of(cls, folder: Path) -> Recipe:
        """What `modules.json` and its companions say, as sentence-transformers writes them; else mean pooling.

        Raises:
            ManymodalError: the folder asks for something else than mean or first-token pooling and normalisation.
        """
        modules = {m["type"].rsplit(".", 1)[-1]: m["path"] for m in _json(folder / "modules.json", [])}
        strange = set(modules) - {"Transformer", "Pooling", "Normalize"}
        if strange:
            raise ManymodalError(
                f"{folder} has a module {min(strange)}; supported are Transformer, Pooling and Normalize"
            )
        transformer = folder / modules.get("Transformer", "")
        pooling = _json(
            folder / modules.get("Pooling", "1_Pooling") / "config.json", {"pooling_mode_mean_tokens": True}
        )
        asked = [name for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True]
        if len(asked) != 1 or asked[0] not in POOLINGS:
            raise ManymodalError(
                f"{folder} pools by {' and '.join(asked) or 'nothing'}; supported: {', '.join(POOLINGS)}"
            )
        texts = _json(transformer / "sentence_bert_config.json", {})
        return cls(
            transformer=transformer,
            pooling=POOLINGS[asked[0]],
            normalise="Normalize" in modules,
            longest=texts.get("max_seq_length"),
            lower_case=bool(texts.get("do_lower_case", False)),
        )


def find_model(name: str) -> Path:
    """The folder of a model, given as a folder or as a name on the Hub (downloaded once, by huggingface_hub).

    Raises:
        ManymodalError: no such folder, and no such name on the Hub or no way to reach it.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except ImportError as error:
        raise _not_installed() from error
    except (OSError, ValueError) as error:  # what the Hub's own errors are made of
        raise ManymodalError(
            f"no model {name!r}: there is no such folder, and the Hub did not give it ({str(error).splitlines()[0]}). "
            "Name a local folder, or a Hub name while there is a network (once; afterwards it is in the Hub's cache)"
        ) from error


def read_model(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model (float32, evaluation mode) of a transformer's folder.

    Raises:
        ManymodalError: transformers is not installed, or it cannot read the folder.
    """
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise _not_installed() from error
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # reading takes a moment; a bar is for what takes minutes
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder, use_safetensors=True)
    except Exception as error:  # a broken folder makes it raise whatever its parsers meet
        raise ManymodalError(
            f"cannot read the model in {folder}: {str(error).strip().splitlines()[0]}. Needed: config.json, tokenizer "
            "files and model.safetensors (weights in pickle files are not read)"
        ) from error
    if model.config.is_encoder_decoder:
        raise ManymodalError(
            f"{folder} holds an encoder with a decoder ({model.config.model_type}); needed: an encoder"
        )
    return tokenizer, model.float().eval().requires_grad_(False)


def fingerprint_of(folder: Path) -> str:
    """32 hex digits of the names and contents of a model's files."""
    digest = blake2b(digest_size=16)
    for file in sorted({file for pattern in FILES for file in folder.rglob(pattern)}):
        digest.update(f"{file.relative_to(folder).as_posix()} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _json(file: Path, otherwise: Any) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else otherwise


def _not_installed() -> ManymodalError:
    return ManymodalError('pretrained encoders need transformers: pip install "manymodal[pretrained]"')
