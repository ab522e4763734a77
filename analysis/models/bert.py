"""BERT, or another encoder, of a Hugging Face model's folder, and a linear layer over all its layers (Table 5).

As the published code has it: the hidden states of every layer, the embeddings' among them, averaged over layers and
tokens, and one linear layer. Its mean runs over the padding too, so that a text's logits depend on the longest of its
batch; here it is over the text's own tokens.

What is mixed is said by ``mix``. Token numbers, as published: a mask chooses between two texts' tokens, and nothing may
blend them, since a number between two tokens is a third. Or the tokens' embeddings, which may be blended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.tokenizer import reading, same_tokens
from ..errors import InputError
from .text_networks import TextNetwork, padding_of

CONFIG, WEIGHTS = "config.json", "*.safetensors"
MIXES = ("ids", "embeddings")


class Numbers(nn.Module):
    """Numbers of tokens (B, L) → the same as floats (B, 1, L), of which a mask may choose and none may be blended."""

    chooses = True

    def forward(self, ids: Tensor) -> Tensor:
        return ids.unsqueeze(1).float()


class Tokens(nn.Module):
    """Numbers of tokens (B, L) → their embeddings (B, C, L), zero at number 0."""

    def __init__(self, table: nn.Module) -> None:
        super().__init__()
        self.table = table

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids).mT * (ids != 0).unsqueeze(1)


class Encoded(nn.Module):
    """What `Numbers` or `Tokens` give, mixed, → logits (B, num_classes). Padding is attended to by nothing."""

    def __init__(self, encoder: nn.Module, hidden: int, num_classes: int, mix: str) -> None:
        super().__init__()
        self.encoder, self.mix = encoder, mix
        self.output = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        there = padding_of(x)
        given = {"input_ids": x.squeeze(1).round().long()} if self.mix == "ids" else {"inputs_embeds": x.mT}
        found = self.encoder(**given, attention_mask=there.squeeze(1).long(), output_hidden_states=True)
        sums = [(state * there.mT).sum(1) for state in found.hidden_states]  # each by itself: they are large
        return self.output(torch.stack(sums).mean(0) / there.sum(2).clamp(min=1))


class Bert(TextNetwork):
    def __init__(self, embed: nn.Module, body: nn.Module, longest: int | None) -> None:
        super().__init__(embed, body)
        self.longest = longest  # tokens of a text that it takes


def bert(
    num_classes: int,
    *,
    path: str,
    mix: str = "ids",
    num_words: int = 0,
    words: Sequence[str] = (),
) -> Bert:
    """The encoder of a Hugging Face model's folder, with its weights, which are trained on, and a new linear layer.

    Only its files are read: config.json and safetensors; nothing is fetched, unpickled or run from it.

    Args:
        path: the folder.
        mix: what of a text is mixed, ``ids`` or ``embeddings``.
        words: the tokens that the data's texts are numbered by, from number 1 on.

    Raises:
        InputError: no such folder or `mix`, no encoder, weights that are missing or damaged, data numbered by anything
            but its own tokeniser, transformers is not installed.
    """
    if mix not in MIXES:
        raise InputError(f"mix={mix!r}; expected one of {', '.join(map(repr, MIXES))}.")
    encoder, config = _encoder(path)
    if (padding := getattr(config, "pad_token_id", None)) not in (None, 0):
        raise InputError(f"{path!r} pads with number {padding}; here padding is number 0, as BERT's.")
    if num_words >= config.vocab_size or not same_tokens(path, words):
        raise InputError(
            f"the data's texts are numbered by {num_words:,} words that are not the {config.vocab_size:,} tokens of "
            f"{path!r}. Give the data its tokeniser, as imdb(tokenizer={path!r}); of a folder without one, texts that "
            "come as its numbers."
        )
    embed: nn.Module = Numbers()
    if mix == "embeddings":
        embed = Tokens(encoder.get_input_embeddings())
        encoder.set_input_embeddings(nn.Identity())  # its weights are the embedding's, once
    body = Encoded(encoder, config.hidden_size, num_classes, mix)
    return Bert(embed, body, getattr(config, "max_position_embeddings", None))


def _encoder(path: str) -> tuple[Any, Any]:
    with reading(path, "the model") as (transformers, folder):
        if not (folder / CONFIG).is_file() or not any(folder.glob(WEIGHTS)):
            raise InputError(
                f"{path!r} has no {CONFIG} with {WEIGHTS} beside it, which alone are read. Save its weights so: "
                "model.save_pretrained(FOLDER)."
            )
        from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

        strict = {"local_files_only": True, "trust_remote_code": False}
        config = transformers.AutoConfig.from_pretrained(folder, **strict)
        of_text = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.is_encoder_decoder
        if not of_text or getattr(config, "is_decoder", False):
            raise InputError(f"{path!r} is of type {config.model_type}, no encoder of texts such as BERT.")
        encoder, loaded = transformers.AutoModel.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **strict
        )
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # nothing comes from it here
        missing = sorted(name for name in loaded["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise InputError(f"{path!r} lacks {len(missing)} of its weights, such as {missing[0]}.")
    return encoder.train(), config


def weights_digest(path: str) -> str:
    """SHA-256 of a model's settings and weights, wherever they lie; empty of what is no folder."""
    folder, digest = Path(path).expanduser(), hashlib.sha256()
    for file in sorted((*folder.glob(CONFIG), *folder.glob(WEIGHTS))):
        digest.update(json.dumps([file.name, file.stat().st_size]).encode())
        with file.open("rb") as opened:
            while part := opened.read(2**20):
                digest.update(part)
    return digest.hexdigest() if folder.is_dir() else ""


TAKES = ("text",)
ARCHITECTURES = {"bert": bert}
