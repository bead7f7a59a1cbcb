"""What a model is, for people: its files, sizes and revision, and whether it works here."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from tasks.encode.model.families import architecture_of, files_of
from tasks.encode.model.hashes import hash_file
from tasks.encode.model.load import encoder_for
from tasks.encode.model.locate import locate_model
from tasks.settings import Settings

SELF_TEST_TEXT = "红色连衣裙"
SHOWN_VALUES = 5


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model: its size in bytes and its SHA-256 in hex."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The first values of the vectors of a fixed text and of a black picture, as this machine
    computes them, and their L2 norms: equal numbers elsewhere mean an equal model."""

    text: str
    text_vector: tuple[float, ...]
    picture_vector: tuple[float, ...]
    norms: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as `muge model` shows it; `parameters` by tower, `load_seconds` with hashing."""

    name: str
    revision: str
    folder: str
    family: str
    architecture: str
    dimension: int
    resolution: int
    parameters: dict[str, int]
    preprocessing: str
    device: str
    load_seconds: float
    files: tuple[ModelFile, ...]
    self_test: SelfTest


def model_card(model: str, settings: Settings) -> ModelCard:
    """Load a model as the options say it works, and say what it is; errors as `encoder_for`."""
    folder = locate_model(model)
    began = time.perf_counter()
    encoder = encoder_for(model, settings)
    seconds = time.perf_counter() - began
    side = encoder.info.resolution
    text = encoder.encode_texts([SELF_TEST_TEXT])[0]
    picture = encoder.encode_images(np.zeros((1, side, side, 3), np.uint8))[0]
    files = files_of(folder.path)
    return ModelCard(
        name=folder.name,
        revision=folder.revision,
        folder=str(folder.path),
        family=encoder.info.family,
        architecture=architecture_of(folder.path),
        dimension=encoder.info.dimension,
        resolution=side,
        parameters=encoder.parameters(),
        preprocessing=encoder.info.preprocessing,
        device=encoder.device,
        load_seconds=round(seconds, 2),
        files=tuple(ModelFile(f.name, f.stat().st_size, hash_file(f)) for f in files),
        self_test=SelfTest(
            text=SELF_TEST_TEXT,
            text_vector=tuple(round(float(v), 5) for v in text[:SHOWN_VALUES]),
            picture_vector=tuple(round(float(v), 5) for v in picture[:SHOWN_VALUES]),
            norms=(round(float(np.linalg.norm(text)), 5), round(float(np.linalg.norm(picture)), 5)),
        ),
    )
