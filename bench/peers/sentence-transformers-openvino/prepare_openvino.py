"""
Export the model for OpenVINO, in fp32 and int8, as sentence-transformers documents it.

Usage: prepare_openvino.py <model folder> <output folder>

The calibration texts are passages of the harness's corpus, in place of the data set of a model hub.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from optimum.intel import OVQuantizationConfig
from sentence_transformers import SentenceTransformer, export_static_quantized_openvino_model

CORPUS = Path(__file__).resolve().parents[2] / "datasets" / "squad-v2-dev.json.gz"
SAMPLES = 300


def write_samples(folder: Path) -> None:
    """Write the passages as a data set that `datasets` reads from a folder."""
    articles = json.loads(gzip.decompress(CORPUS.read_bytes()))["data"]
    passages = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    lines = [json.dumps({"text": passage}) for passage in passages[:SAMPLES]]
    (folder / "train.jsonl").write_text("\n".join(lines))


def main() -> None:
    """Write the graph and its int8 form."""
    source, output = sys.argv[1:]
    model = SentenceTransformer(source, device="cpu", backend="openvino", model_kwargs={"export": True})
    model.save_pretrained(output)
    with TemporaryDirectory() as folder:
        write_samples(Path(folder))
        export_static_quantized_openvino_model(
            model,
            quantization_config=OVQuantizationConfig(num_samples=SAMPLES),
            model_name_or_path=output,
            dataset_name=folder,
            dataset_config_name="default",
            dataset_split="train",
            column_name="text",
            file_suffix="qint8",
        )


if __name__ == "__main__":
    main()
