"""A tiny BERT as Hugging Face's folders hold one: two layers, 32 wide, random weights, a vocabulary of a few words."""

import torch

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.data.tokenizer import tokenised

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (*SPECIAL, "a", "film", "##s", "good", "bad", "very", "this", "[", "]", "pad")
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "initializer_range": 0.2,  # with less, so narrow a network learns little in a moment
}


def save_bert(folder, kind="Bert", words=WORDS, head="Model", *, safe=True, **settings):
    """A model's folder and its path; ``kind`` and ``head`` name its classes in transformers, as Bert and Model."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(vocab_size=len(words), **{**SIZES, **settings})
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    network = getattr(transformers, f"{kind}{head}")(config)
    network.get_input_embeddings().weight.data[0].normal_()  # as published ones have it, padding's is not zero
    save_words(folder, words)
    if safe:
        network.save_pretrained(folder)
    else:
        config.save_pretrained(folder)
        torch.save(network.state_dict(), folder / "pytorch_model.bin")
    return str(folder)


def save_words(folder, words=WORDS):
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")


def reviews(count, seed=0):
    """Texts of various length, and which of them are good."""
    generator = torch.Generator().manual_seed(seed)
    labels, texts = torch.arange(count) % 2, []
    fillers = ("a", "this", "films", "film", "very")
    for label in labels.tolist():
        length = int(torch.randint(2, 12, (), generator=generator))
        filler = [fillers[number] for number in torch.randint(len(fillers), (length,), generator=generator)]
        place = int(torch.randint(length, (), generator=generator))
        texts.append(" ".join([*filler[:place], ("bad", "good")[label], *filler[place:]]))
    return texts, labels


def review_dataset(folder, train=64, test=32):
    """Those, numbered by a model's tokeniser."""
    (texts, labels), (others, other_labels) = reviews(train), reviews(test, 1)
    known, (first, second) = tokenised(folder, 0, texts, others)
    splits = Split(first, labels), Split(second, other_labels)
    return Dataset("reviews", *splits, ("bad", "good"), (), (), vocabulary=known)
