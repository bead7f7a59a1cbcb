"""The model folder in the original ModelScope layout."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from tasks.sample.recipe.towers import TextConfig, VisionConfig

_CONFIGURATION = {
    "framework": "pytorch",
    "task": "multi-modal-embedding",
    "pipeline": {"type": "multi-modal-embedding"},
    "model": {"type": "clip-multi-modal-embedding"},
}


def export_model(
    student: nn.Module, vision: VisionConfig, text: TextConfig, vocabulary: Path, folder: Path
) -> None:
    """Write configuration.json, the two model configs, vocab.txt and pytorch_model.bin (fp16)."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "configuration.json", _CONFIGURATION)
    # The original stores a ResNet's layers as a string.
    layers = str(list(vision.vision_layers))
    _write_json(folder / "vision_model_config.json", {**asdict(vision), "vision_layers": layers})
    _write_json(folder / "text_model_config.json", asdict(text))
    shutil.copyfile(vocabulary, folder / "vocab.txt")
    weights = {name: _half(value) for name, value in student.state_dict().items()}
    torch.save({"state_dict": {**weights, **_pooler(text)}}, folder / "pytorch_model.bin")


def _pooler(text: TextConfig) -> dict[str, Tensor]:
    """BERT's pooler: never used, but the class of the original checkpoints has it."""
    width = text.text_hidden_size
    return {
        "bert.pooler.dense.weight": torch.zeros(width, width, dtype=torch.float16),
        "bert.pooler.dense.bias": torch.zeros(width, dtype=torch.float16),
    }


def _half(value: Tensor) -> Tensor:
    value = value.detach().cpu()
    return value.half().contiguous() if value.is_floating_point() else value


def _write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
