"""Pictures and texts to vectors by a model of Sentence Transformers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any

import torch
from PIL import Image
from sentence_transformers import SentenceTransformer
from torch import Tensor

from tasks.encode.model.contract import Format, ModelFolder
from tasks.encode.model.library import quiet, told
from tasks.encode.model.memory import ON_PICTURES, ON_TEXTS, device_errors
from tasks.encode.model.pending import PendingVectors
from tasks.encode.model.precision import TYPES
from tasks.encode.model.sentence_transformers.squares import fitted, unfitted
from tasks.encode.model.towers_encoder import PicturesEncoder, count_numbers, unit
from tasks.errors import ModelError
from tasks.records import Float32, ModelInfo

TEXTS_AT_ONCE = 32


class SentenceTransformersEncoder(PicturesEncoder):
    """A model on one device: its processors keep state, so one thread at a time works with it."""

    def __init__(self, info: ModelInfo, model: Any, device: torch.device, format: Format) -> None:
        """`model` is a SentenceTransformer on `device`, in the type of `format`."""
        super().__init__(info, device, format, "eager")
        self._model = model
        self._lock = threading.Lock()

    def parameters(self) -> dict[str, int]:
        """How many numbers the model holds, for both."""
        return {"both": count_numbers(self._model)}

    def square(self, image: Image.Image, side: int) -> Image.Image:
        """The picture in its shape, in a square."""
        return fitted(image, side)

    @property
    def at_once(self) -> int:
        """One works, and one waits."""
        return 2

    def begin_images(self, pixels: Tensor) -> PendingVectors:
        """As the contract says; the library makes what the device gets."""
        return self._worker.submit(self._timed, pixels)

    @cached_property
    def _worker(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="model")

    def _timed(self, pixels: Tensor) -> tuple[Float32, float]:
        began = time.perf_counter()
        with device_errors(self._place, ON_PICTURES):
            vectors: Float32 = self._encode_pixels(pixels).cpu().numpy()
        return vectors, time.perf_counter() - began

    def _features(self, pixels: Tensor) -> Tensor:
        pictures = [unfitted(each) for each in pixels.cpu().numpy()]
        with self._lock:
            found: Tensor = self._model.encode_document(
                pictures, batch_size=len(pictures), **self._how
            )
        return found

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Texts to vectors (N, D) in the same order, each behind the instruction."""
        if len(texts) == 0:
            return self._nothing()
        rows = list(texts)
        parts = []
        with device_errors(self._place, ON_TEXTS), torch.inference_mode():
            for start in range(0, len(rows), TEXTS_AT_ONCE):
                some = rows[start : start + TEXTS_AT_ONCE]
                parts.append(self._texts.run(len(some), partial(self._queries, some)))
            vectors: Float32 = torch.cat(parts).cpu().numpy()
        return vectors

    def _queries(self, texts: list[str], start: int, stop: int) -> Tensor:
        some = texts[start:stop]
        with self._lock:
            found: Tensor = self._model.encode_query(
                some, prompt=self.info.instruction, batch_size=len(some), **self._how
            )
        return unit(found)

    @property
    def _how(self) -> dict[str, Any]:
        return {
            "show_progress_bar": False,
            "convert_to_tensor": True,
            "truncate_dim": self.info.dimension,
        }


def read_st_encoder(
    folder: ModelFolder, info: ModelInfo, device: torch.device, format: Format
) -> SentenceTransformersEncoder:
    """Read a folder's model onto a device; raises `ModelError` if the library cannot, if it has no
    picture side, or if its vectors are of another length than the files say."""
    with quiet(), told(folder.path, "Sentence Transformers"):
        model = SentenceTransformer(
            str(folder.path),
            device=str(device),
            local_files_only=True,
            trust_remote_code=folder.choices.trusted,
            model_kwargs={"dtype": TYPES[format]},
        )
    if not model.supports("image"):
        raise ModelError(
            f"{folder.name} has no picture side: it reads {', '.join(map(str, model.modalities))}"
        )
    _bound_texts(model)
    whole = model.get_embedding_dimension()
    if whole is not None and info.dimension > whole:
        raise ModelError(f"{folder.name} makes vectors of {whole} numbers, not of {info.dimension}")
    return SentenceTransformersEncoder(info, model.eval(), device, format)


def _bound_texts(model: Any) -> None:
    """Let a model cut texts to the places that it has, where its tokenizer does not say so."""
    config = getattr(model[0], "config", None)
    text = config.get_text_config() if config is not None else None
    places = getattr(text, "max_position_embeddings", None)
    if places and (model.max_seq_length is None or model.max_seq_length > places):
        model.max_seq_length = places
