"""The text tower in numpy, for a process that encodes a text or two and ends.

Such a process would spend more on importing torch than on everything else that a search does. The
tower is that of `towers`, on a CPU in float32; a layer's weights are in memory while it is worked
through, and no longer. Its vectors are those of torch's tower to 2e-6, which
tests/encode/model/chinese_clip/test_text_in_numpy.py holds for every kind of model and form of its
files. Source: BERT (Devlin et al. 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tasks.encode.model.chinese_clip.layout import TEXT_EPSILON, ModelLayout
from tasks.encode.model.chinese_clip.stored import UNUSED, StoredTensor
from tasks.encode.model.chinese_clip.tokenizer import TextTokenizer
from tasks.encode.model.contract import Format, check_directions
from tasks.records import Float32, ModelInfo

_SHORTEST = 1e-12
"""What a length is divided by at least, as in torch's `normalize`."""
_ONE_THREAD = 1 << 17
"""Multiplications; half of what OpenBLAS gives to one thread."""
_EMBEDDINGS = "bert.embeddings"
_PICTURES = "visual."

Float64 = npt.NDArray[np.float64]


class TextInNumpy:
    """The texts of a Chinese-CLIP, read by a tower whose weights stay in their file; safe to use
    from several threads."""

    format: Format = "fp32"

    def __init__(
        self,
        info: ModelInfo,
        layout: ModelLayout,
        words: Sequence[str],
        tensors: Mapping[str, StoredTensor],
    ) -> None:
        """`tensors` by the original's names, as `fits` wants them; `words` by token id."""
        self.info = info
        self._layout = layout.text
        self._tokenizer = TextTokenizer(words)
        self._tensors = tensors

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Texts to vectors (N, D) float32 of L2 norm 1, in the same order; N may be 0.

        Raises `ModelError` if the weights are zeros or no numbers, or are not as they were.
        """
        if len(texts) == 0:
            return np.empty((0, self.info.dimension), np.float32)
        with np.errstate(all="ignore"):  # of numbers that are none the vectors tell
            vectors = self._vectors([self._tokenizer.encode(text) for text in texts])
        check_directions(vectors, "texts", self.info.name)
        return vectors

    def _vectors(self, tokens: Sequence[Sequence[int]]) -> Float32:
        states = [self._embedded(ids) for ids in tokens]
        for layer in range(self._layout.layers):
            states = self._worked(f"bert.encoder.layer.{layer}", states)
        features = np.stack([x[0] for x in states]) @ self._tensors["text_projection"].read()
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        vectors: Float32 = features / np.maximum(lengths, np.float32(_SHORTEST))
        return vectors

    def _embedded(self, ids: Sequence[int]) -> Float32:
        """Token ids to the states (L, width) that the first layer gets."""
        tables = {
            "word_embeddings": ids,
            "position_embeddings": range(len(ids)),
            "token_type_embeddings": [0],
        }
        rows = [self._tensors[f"{_EMBEDDINGS}.{n}.weight"].read_rows(r) for n, r in tables.items()]
        return self._norm(f"{_EMBEDDINGS}.LayerNorm")(rows[0] + rows[1] + rows[2])

    def _worked(self, layer: str, states: Sequence[Float32]) -> list[Float32]:
        """States (L, width) of each text through a block: norm after each sum, exact GELU."""
        attention = f"{layer}.attention"
        names = ("query", "key", "value")
        query, key, value = (self._linear(f"{attention}.self.{name}") for name in names)
        out, norm1 = (
            self._linear(f"{attention}.output.dense"),
            self._norm(f"{attention}.output.LayerNorm"),
        )
        up, down = (
            self._linear(f"{layer}.intermediate.dense"),
            self._linear(f"{layer}.output.dense"),
        )
        norm2 = self._norm(f"{layer}.output.LayerNorm")
        done = []
        for x in states:
            x = norm1(x + out(attend(query(x), key(x), value(x), self._layout.heads)))
            done.append(norm2(x + down(gelu(up(x)))))
        return done

    def _linear(self, name: str) -> Callable[[Float32], Float32]:
        weight, bias = (self._tensors[f"{name}.{part}"].read() for part in ("weight", "bias"))
        return lambda x: product(x, weight) + bias

    def _norm(self, name: str) -> Callable[[Float32], Float32]:
        weight, bias = (self._tensors[f"{name}.{part}"].read() for part in ("weight", "bias"))

        def norm(x: Float32) -> Float32:
            centred = x - x.mean(axis=-1, keepdims=True)
            variance = np.square(centred).mean(axis=-1, keepdims=True)
            normed: Float32 = centred / np.sqrt(variance + np.float32(TEXT_EPSILON)) * weight + bias
            return normed

        return norm


def fits(tensors: Mapping[str, StoredTensor], layout: ModelLayout) -> bool:
    """Whether tensors are those of a text tower and nothing else beside a picture tower, in a type
    that numpy knows."""
    wanted = shapes(layout)
    others = [n for n in tensors if n not in wanted and not n.startswith(_PICTURES)]
    return all(UNUSED.fullmatch(name) for name in others) and all(
        name in tensors and tensors[name].shape == shape and tensors[name].can_be_read
        for name, shape in wanted.items()
    )


def shapes(layout: ModelLayout) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a text tower, by the original's names."""
    text = layout.text
    width, hidden = text.width, text.hidden
    found: dict[str, tuple[int, ...]] = {
        "text_projection": (width, layout.dimension),
        f"{_EMBEDDINGS}.word_embeddings.weight": (text.vocabulary, width),
        f"{_EMBEDDINGS}.position_embeddings.weight": (text.positions, width),
        f"{_EMBEDDINGS}.token_type_embeddings.weight": (text.segments, width),
    }
    norms = [f"{_EMBEDDINGS}.LayerNorm"]
    for number in range(text.layers):
        layer = f"bert.encoder.layer.{number}"
        attention = f"{layer}.attention"
        norms += [f"{attention}.output.LayerNorm", f"{layer}.output.LayerNorm"]
        linears = {f"{attention}.self.{name}": (width, width) for name in ("query", "key", "value")}
        linears |= {
            f"{attention}.output.dense": (width, width),
            f"{layer}.intermediate.dense": (hidden, width),
            f"{layer}.output.dense": (width, hidden),
        }
        for name, shape in linears.items():
            found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        found |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return found


def product(x: Float32, weight: Float32) -> Float32:
    """States (L, K) times the transpose of a weight (N, K): (L, N)."""
    # Of products up to a size numpy's library makes no more than one thread, and a text's are not
    # worth more: on a machine that is busy threads wait for each other longer than they work.
    parts = -(-len(x) * weight.size // _ONE_THREAD)
    return np.concatenate([x @ part.T for part in np.array_split(weight, parts)], axis=1)


def attend(query: Float32, key: Float32, value: Float32, heads: int) -> Float32:
    """Self-attention of one text, nothing of which is padding: states (L, width) to the same."""
    q, k, v = (x.reshape(len(x), heads, -1).transpose(1, 0, 2) for x in (query, key, value))
    scores = q @ k.transpose(0, 2, 1) / np.float32(math.sqrt(q.shape[-1]))
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    states: Float32 = (shares @ v).transpose(1, 0, 2).reshape(query.shape)
    return states


def gelu(x: Float32) -> Float32:
    """The exact one: x times the normal distribution's share below x."""
    return (x * (0.5 + 0.5 * erf(x.astype(np.float64) / math.sqrt(2)))).astype(np.float32)


_STEPS = 128
_FAR = 6
"""Beyond it the error function is 1 to the last bit of float64."""
_KNOWN = np.arange(-_FAR * _STEPS, _FAR * _STEPS + 1) / _STEPS
_ERF = np.array([math.erf(value) for value in _KNOWN])
_SLOPE = 2 / math.sqrt(math.pi) * np.exp(-np.square(_KNOWN))


def erf(x: Float64) -> Float64:
    """The error function, which numpy has not: Taylor's series to the third power from the nearest
    of known values, which is off by less than 1e-10."""
    x = np.clip(x, -_FAR, _FAR)
    nearest = np.rint(x * _STEPS).astype(np.intp) + _FAR * _STEPS
    known = _KNOWN[nearest]
    beyond = x - known
    series = beyond * (1 - known * beyond + (2 * known**2 - 1) / 3 * beyond**2)
    found: Float64 = _ERF[nearest] + _SLOPE[nearest] * series
    return found
