"""A tiny random Qwen3-VL, as its family's configuration and processor make one."""

from __future__ import annotations

from pathlib import Path

import torch

MARKS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
CHAT = """\
{%- for message in messages -%}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}\
{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>\
{% elif 'text' in part %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
WIDTH = 64


def make_qwen(folder: Path) -> None:
    """Write model, tokenizer (bytes) and processor of transformers."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    words = {
        word: n for n, word in enumerate((*sorted(pre_tokenizers.ByteLevel.alphabet()), *MARKS))
    }
    made = Tokenizer(models.BPE(words, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=MARKS[0],
        eos_token=MARKS[2],
        additional_special_tokens=list(MARKS[1:]),
    )
    tokenizer.image_token, tokenizer.video_token = MARKS[5], MARKS[6]
    sizes = {"hidden_size": WIDTH, "intermediate_size": 128}
    config = Qwen3VLConfig(
        text_config={
            **sizes,
            "vocab_size": len(words),
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 4096,
            "rope_scaling": {
                "rope_type": "default",
                "mrope_section": [2, 3, 3],
                "mrope_interleaved": True,
            },
            "pad_token_id": words[MARKS[0]],
        },
        vision_config={
            **sizes,
            "depth": 2,
            "num_heads": 4,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=words[MARKS[5]],
        video_token_id=words[MARKS[6]],
        vision_start_token_id=words[MARKS[3]],
        vision_end_token_id=words[MARKS[4]],
    )
    torch.manual_seed(0)
    Qwen3VLForConditionalGeneration(config).eval().save_pretrained(folder)
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            patch_size=16, merge_size=2, min_pixels=32**2, max_pixels=256**2
        ),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(patch_size=16, merge_size=2),
        chat_template=CHAT,
    ).save_pretrained(folder)
