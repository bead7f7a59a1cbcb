"""Sentence Transformers as the table of models knows them: recognised by their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tasks.encode.model.chinese_clip.layout import Config
from tasks.encode.model.contract import Encoder, Format, Kernels, ModelFolder, Precision
from tasks.encode.model.hashes import hash_file
from tasks.encode.model.hugging_face import CONFIG_FILE, read_values
from tasks.encode.model.sentence_transformers.squares import MOST_SIDE, SIDE, fitted
from tasks.errors import DeviceError, ModelError
from tasks.records import ModelInfo

if TYPE_CHECKING:
    import torch

MODULES_FILE = "modules.json"
OPTIONS_FILE = "config_sentence_transformers.json"
EXTRA = 'the extra "sentence-transformers": pip install "muge-search[sentence-transformers]"'
VERSION = "sentence-transformers-1"
"""Changes whenever equal bytes or texts would reach a model differently."""
OWN_MODULES = "sentence_transformers."
WEIGHTS = (".safetensors", ".bin")
_SHAPING = (".json", ".txt", ".model", ".jinja", ".py")
_MARKS = (".muge-complete",)


class SentenceTransformersFamily:
    """Folders with a `modules.json`; queries may begin with an instruction, and vectors may be cut
    to a dimension (Kusupati et al. 2022, Matryoshka)."""

    files = (MODULES_FILE, OPTIONS_FILE)
    optional = frozenset({OPTIONS_FILE})

    def recognises(self, folder: Path) -> bool:
        """Whether modules are listed."""
        return (folder / MODULES_FILE).is_file()

    def describe(self, folder: ModelFolder) -> ModelInfo:
        """The model's description; raises `ModelError` naming the file that is wrong, for code that
        is not trusted, and for a dimension above the model's."""
        chosen = folder.choices
        modules = list(_modules(folder.path))
        if not chosen.trusted:
            _check_own(folder.path, modules)
        whole = _dimension(folder.path, modules)
        dimension = chosen.dimension or whole
        if dimension > whole:
            raise ModelError(
                f"{folder.name} makes vectors of {whole} numbers: they cannot be cut to dimension "
                f"{dimension}"
            )
        instruction = (
            _instruction(folder.path) if chosen.instruction is None else chosen.instruction
        )
        shape = _hash(folder.path, _SHAPING, instruction)[:8]
        return ModelInfo(
            name=folder.name,
            revision=folder.revision,
            weights=_hash(folder.path, WEIGHTS),
            dimension=dimension,
            resolution=SIDE,
            preprocessing=f"{VERSION}/{MOST_SIDE}/{shape}/{dimension}",
            instruction=instruction,
        )

    def square(self, image: Image.Image, side: int) -> Image.Image:
        """The picture in its shape, in a square."""
        return fitted(image, side)

    def choose_format(
        self, folder: ModelFolder, device: torch.device, precision: Precision
    ) -> Format:
        """As `precision.choose_library_format`."""
        from tasks.encode.model.precision import choose_library_format

        return choose_library_format(folder, device, precision)

    def load(
        self,
        folder: ModelFolder,
        info: ModelInfo,
        device: torch.device,
        format: Format,
        kernels: Kernels,
    ) -> Encoder:
        """The encoder; raises `ModelError` if the library is not there, if the model has no picture
        side, or for files that do not fit each other."""
        if kernels != "eager":
            raise DeviceError(f"kernels {kernels!r} are not for Sentence Transformers; use eager")
        try:
            from tasks.encode.model.sentence_transformers.encoder import read_st_encoder
        except ImportError as error:
            raise ModelError(f"{folder.name} needs {EXTRA} ({error})") from None
        return read_st_encoder(folder, info, device, format)


def check_library(model: str) -> None:
    """Before a download: raise `ModelError` if the library that reads it is not here."""
    if find_spec("sentence_transformers") is None:
        raise ModelError(f"{model} needs {EXTRA}")


def check_own_code(folder: Path) -> None:
    """Raise `ModelError` if a model wants other code than the library's; no weights are needed."""
    _check_own(folder, list(_modules(folder)))


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """The class of each module and the folder of its files, in order."""
    file = folder / MODULES_FILE
    listed: Any = read_values(file)
    if not isinstance(listed, list) or not listed:
        raise ModelError(f"{file} lists no modules")
    for each in listed:
        kind, path = (
            (each.get(name) for name in ("type", "path")) if isinstance(each, dict) else ("", "")
        )
        if not isinstance(kind, str) or not isinstance(path, str) or ".." in Path(path).parts:
            raise ModelError(f"{file} lists a module without type and path")
        yield kind, folder / path.lstrip("/")


def _check_own(folder: Path, modules: list[tuple[str, Path]]) -> None:
    """Raise `ModelError` if a model wants other code than the library's."""
    wanted = [kind for kind, _ in modules if not kind.startswith(OWN_MODULES)]
    places = dict.fromkeys([folder, *(place for _, place in modules)])
    for place in places:
        for name in (CONFIG_FILE, "tokenizer_config.json", "preprocessor_config.json"):
            said = read_values(place / name) if (place / name).is_file() else {}
            if isinstance(said, dict) and said.get("auto_map"):
                wanted.append(f"auto_map of {(place / name).relative_to(folder)}")
    if wanted:
        raise ModelError(
            f"{folder} wants code of its own to be run ({wanted[0]}), and no code of a model is; "
            f"if you have read it and trust it, give --trust-remote-code"
        )


def _dimension(folder: Path, modules: list[tuple[str, Path]]) -> int:
    """The length of the vectors: of the last module that says one."""
    found: int | None = None
    for kind, place in modules:
        file = place / CONFIG_FILE
        if not file.is_file():
            continue
        config = Config(file)
        name = kind.rpartition(".")[2]
        if name == "Dense":
            found = config.count("out_features")
        elif name == "Pooling":
            each = "embedding_dimension"
            length = config.count(each if each in config.values else f"word_{each}")
            modes = config.values.get("pooling_mode")
            several = len(modes) if isinstance(modes, list) else 1
            old = sum(v is True for k, v in config.values.items() if k.startswith("pooling_mode_"))
            found = length * max(1, several, old)
        elif found is None:
            found = _of_transformer(config)
    if found is None:
        raise ModelError(f"{folder}: no module says how long the vectors are; give --dimension")
    return found


def _of_transformer(config: Config) -> int | None:
    """What a transformer's configuration says of its vectors' length."""
    places = [config.values, *(config.values.get(f"{part}_config") for part in ("text", "vision"))]
    for name in ("projection_dim", "hidden_size"):
        for values in places:
            if isinstance(values, dict) and isinstance(values.get(name), int):
                return Config(config.file, values).count(name)
    return None


def _instruction(folder: Path) -> str:
    """What the model's own queries begin with."""
    file = folder / OPTIONS_FILE
    said = read_values(file) if file.is_file() else {}
    prompts = said.get("prompts") if isinstance(said, dict) else None
    own = prompts.get("query") if isinstance(prompts, dict) else None
    return own if isinstance(own, str) else ""


def _hash(folder: Path, endings: tuple[str, ...], more: str = "") -> str:
    """SHA-256 in hex over the names and contents of files, wherever in the folder."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.name.endswith(endings) and path.is_file() and path.name not in _MARKS
    )
    if not files:
        raise ModelError(f"{folder} holds no weights ({', '.join(endings)})")
    parts = [f"{path.relative_to(folder).as_posix()} {hash_file(path)}" for path in files]
    return hashlib.sha256("\n".join([*parts, more]).encode()).hexdigest()
