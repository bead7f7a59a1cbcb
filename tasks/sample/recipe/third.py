"""The third edition: a wider image tower, which starts as the second's and learns on.

The text tower stays as it is. Every layer of the image tower has half as many channels more; the
new ones are read by nothing yet, so that the wider tower says what the second edition says. Then it
learns from all hands, and from one more that draws in lines.
"""

import torch
from torch import Tensor, nn

from tasks.sample.recipe.image_tower import ImagePlan, Stage, train
from tasks.sample.recipe.judge import Model
from tasks.sample.recipe.pictures import ARTISTS, FONTS, ICONS
from tasks.sample.recipe.second import Source, lessons_of, taught_by_features
from tasks.sample.recipe.towers import VisionConfig, build

WIDTH = 24

LEARNING = ImagePlan(
    name="wider",
    stages=(Stage("wider", side=64, source=80, steps=2200, joint=False, pace=(1.0, 0.01)),),
    rate=1.5e-3,
    averaging=0.998,
    seed=6,
)


def improve(second: Model, source: Source) -> nn.Module:
    """Widen the second edition's image tower and teach it on; resumes like every training."""
    lessons = taught_by_features(lessons_of(second, source, ARTISTS + ICONS + FONTS), source)
    student = widened(second, source).requires_grad_(True)
    learnt = train(student, second.tokenizer, lessons, {}, source.work, LEARNING)
    return learnt.eval()


def widened(narrow: Model, source: Source) -> nn.Module:
    """The same function in a tower of `WIDTH`: new channels read all, and are read by none."""
    torch.manual_seed(LEARNING.seed)
    vision = VisionConfig(image_resolution=narrow.side, vision_width=WIDTH)
    wide = build(source.packages, narrow.tokenizer, vision)
    fresh, known = wide.state_dict(), narrow.clip.state_dict()
    wide.load_state_dict(
        {
            name: _placed(value, known[name], name) if name in known else value
            for name, value in fresh.items()
        }
    )
    return wide.eval()


def _placed(fresh: Tensor, known: Tensor, name: str) -> Tensor:
    """Known weights in the corner of a larger tensor; what they would read of new channels is 0."""
    if fresh.shape == known.shape:
        return known
    made = fresh.clone()
    old = tuple(slice(0, size) for size in known.shape)
    if made.ndim > 1 and not name.endswith("positional_embedding"):  # rows are outputs
        made[: known.shape[0], known.shape[1] :] = 0
    made[old] = known
    return made
