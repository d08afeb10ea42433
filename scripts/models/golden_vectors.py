"""
Write tests/contract/golden.json: the vectors, token counts and token ids of sentence-transformers.

    python -m scripts.models.golden_vectors
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

ROOT = Path(__file__).resolve().parents[2]
MODEL = "all-MiniLM-L6-v2"
PASSAGES = (0, 100, 333, 555, 777, 901, 1100, 1203)

TEXTS = {
    "one-word": "hello",
    "one-letter": "a",
    "one-digit": "7",
    "full-stop": ".",
    "query-who": "Who wrote the first dictionary of the English language?",
    "query-keywords": "passport renewal fee 2026",
    "query-typos": "waht is teh captial of frnace",
    "query-upper-case": "WHAT IS THE CAPITAL OF FRANCE?",
    "query-lower-case": "what is the capital of france?",
    "two-sentences": "The kettle is on. Tea will be ready in five minutes!",
    "numbers-and-units": "3.14159 rad, 42 kg, -17.5 °C, 1,000,000 EUR and 2^10 bytes",
    "code": "def add(a: int, b: int) -> int:\n    return a + b  # sum",
    "json": '{"key": ["value", null, 1e-3], "path": "C:\\\\temp"}',
    "markup": "<p class='x'>Fish &amp; chips</p><script>alert(1)</script>",
    "url": "https://example.org/a/very/long/path?with=parameters&and=more#fragment",
    "accents": "Crème brûlée à la carte, naïve façade, Übergröße",
    "combining-marks": "e\u0301 e\u0300 o\u0308 n\u0303 a\u030a\u0301",
    "composed-marks": "\u00e9 \u00e8 \u00f6 \u00f1 \u01fb",
    "mixed-scripts": "Привет, κόσμε! 你好 こんにちは 안녕하세요 नमस्ते สวัสดี",
    "han-only": "人工智能正在改变世界",
    "right-to-left": "السلام عليكم ורחמת שלום",
    "right-to-left-marks": "\u202babc\u202c \u200fשלום\u200e def",
    "emoji": "Launch 🚀 party 🎉 with 👩‍👩‍👧‍👦 and 🏳️‍🌈 🇫🇷 👍🏽",
    "emoji-only": "🚀🚀🚀",
    "control-characters": "bell \x07, null \x00, escape \x1b[31m, delete \x7f, C1 \x85",
    "control-characters-only": "\x00\x01\x02",
    "zero-width": "zero\u200bwidth\u200djoiner\ufeffmark\u2060word",
    "zero-width-only": "\u200b",
    "private-use": "\ue000 \uf8ff \U000f0000",
    "replacement": "broken \ufffd text",
    "whitespace-inside": "spaces   tabs\t\tlines\n\nreturns\r\nnbsp\u00a0ideographic\u3000end",
    "whitespace-around": "  \n\t surrounded \t\n  ",
    "long-word": "pneumonoultramicroscopicsilicovolcanoconiosis" * 40,
    "long-word-of-digits": "0123456789" * 60,
    "hyphens": "state-of-the-art mother-in-law's e-mail — dash – dash … ellipsis",
    "special-tokens": "[CLS] not a real token [SEP] [MASK] [PAD] [UNK]",
    "hash-marks": "##ing ##ed ### heading",
    "math": "∀x∈ℝ: ∫₀^∞ e^{−x²} dx = √π⁄2 ≈ 0.886",
    "full-width": "ＦＵＬＬ　ｗｉｄｔｈ １２３ ﬁ ligature Ⅷ",
}
# (part, times, options): the file stores the part and the number of repetitions, not the whole text.
REPEATED: dict[str, tuple[str, int, dict[str, str]]] = {
    "exactly-the-limit": ("word ", 254, {}),
    "one-over-the-limit": ("word ", 255, {}),
    "10000-words": ("The quick brown fox jumps over the lazy dog again. ", 1_000, {}),
    "10000-words-cut-at-the-start": (
        "Each of these ten words counts as one more word ",
        1_000,
        {"truncate": "START"},
    ),
    "2000-emoji": ("🦊 ", 2_000, {}),
    "20000-han": ("漢字", 10_000, {}),
}


class Reference:
    """sentence-transformers on the CPU in fp32, with token counts and vector lengths before normalisation."""

    def __init__(self, folder: Path) -> None:
        self._model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        self.dimensions = self._model.get_embedding_dimension()
        self.max_input_tokens = self._model.max_seq_length

    def describe(self, text: str, options: dict[str, str]) -> dict[str, Any]:
        """Return vector (base64 float32, little-endian), norm before normalisation, tokens, ids of a short text."""
        self._model.tokenizer.truncation_side = "left" if options.get("truncate") == "START" else "right"
        outputs: Any = self._model.encode([text], output_value=None, show_progress_bar=False)
        output = outputs[0]
        mask = output["attention_mask"].bool().cpu()
        pooled = output["token_embeddings"].cpu()[: len(mask)][mask].mean(dim=0).numpy()
        vector = np.asarray(output["sentence_embedding"].cpu(), dtype="<f4")
        ids = self._model.tokenizer(text, add_special_tokens=False)["input_ids"]
        return {
            "tokens": int(mask.sum()),
            "norm": round(float(np.linalg.norm(pooled)), 5),
            "vector": base64.b64encode(vector.tobytes()).decode(),
        } | ({"ids": ids} if 0 < len(ids) <= 64 else {})


def read_passages() -> dict[str, str]:
    """Return the passages of SQuAD v2 dev at the indices PASSAGES, by name."""
    squad = json.loads(gzip.decompress((ROOT / "bench/datasets/squad-v2-dev.json.gz").read_bytes()))
    contexts = [paragraph["context"] for article in squad["data"] for paragraph in article["paragraphs"]]
    return {f"squad-{index}": contexts[index] for index in PASSAGES}


def make_cases(reference: Reference) -> list[dict[str, Any]]:
    """Describe every text, in the order of this file."""
    plain = [
        {"name": name, "text": text, "options": {}} | reference.describe(text, {})
        for name, text in (TEXTS | read_passages()).items()
    ]
    repeated = [
        {"name": name, "text": part, "repeat": times, "options": options} | reference.describe(part * times, options)
        for name, (part, times, options) in REPEATED.items()
    ]
    return plain + repeated


def main(arguments: list[str] | None = None) -> int:
    """Write golden.json; `git diff` then shows the changes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models-dir", type=Path, default=ROOT / "models")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "contract" / "golden.json")
    options = parser.parse_args(arguments)
    folder = options.models_dir / MODEL
    reference = Reference(folder)
    with (folder / "model.safetensors").open("rb") as weights:
        sha256 = hashlib.file_digest(weights, "sha256").hexdigest()
    cases = make_cases(reference)
    golden = {
        "model": MODEL,
        "weights_sha256": sha256,
        "made_by": {name: version(name) for name in ("sentence-transformers", "transformers", "torch")},
        "squad": "passages squad-*: SQuAD v2 dev, CC BY-SA 4.0, from Wikipedia",
        "dimensions": reference.dimensions,
        "max_input_tokens": reference.max_input_tokens,
        "cases": cases,
    }
    options.out.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out.name}: {len(cases)} texts by {MODEL}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
