"""The encoder of text beside sentence-transformers (torch, CPU): the same tokens, the same vectors, and how fast.

Texts are the answers of polarized-issues and hh-harmless (FARO_DATA), by the encoder in --encoder (default: minilm, as
faro encoder install fetches it). Both run in a process of their own, warmed up, and encode the same texts in turn, so
that a busy machine slows both; --reference names a Python that has sentence-transformers, if this one has not. With
--onnxruntime it encodes as well, in that Python, the network exported by torch (needs onnxruntime, onnx, onnxscript).

Shown are texts per second of wall time and of CPU time, medians over rounds, the ratio of faro's to the other's (bar:
.8, of CPU time), the share of the measured peak of a square matrix product that faro's passes reach, and of
products with the widths of the encoder (what is missing of 100 % there is padding and all that is no product), how many
token ids are equal, and the largest difference of vectors (bar: 1e-5). Ends with 1 if a bar is missed.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
BAR, CLOSE = 0.8, 1e-5
PEAK = 1536  # rows and columns of the product that says what this machine can do


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm", help="a name or a folder")
    parser.add_argument("--texts", type=int, default=2000, help="of each set at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--onnxruntime", action="store_true", help="beside the other two; no bar is about it")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.worker, options.encoder)
    from faro.text import known

    encoder = known.find(options.encoder)
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; {encoder.name}, {options.rounds} rounds")
    kept = True
    for name in ("polarized-issues", "hh-harmless"):
        texts = answers(name)[: options.texts]
        pythons = {"faro": sys.executable, "sentence-transformers": options.reference}
        pythons |= {"onnxruntime": options.reference} if options.onnxruntime else {}
        workers = {who: Worker(who, python, encoder.folder, texts) for who, python in pythons.items()}
        for turn in range(options.rounds):
            for who in sorted(workers, reverse=bool(turn % 2)):
                workers[who].round()
        ends = {who: worker.end() for who, worker in workers.items()}
        kept &= report(name, texts, encoder, workers, ends)
    return 0 if kept else 1


def answers(name: str) -> list[str]:
    """The different answers of a registered set."""
    from faro.data import read_table
    from faro.data.sets import SETS

    spec = SETS[name]
    frame, schema = spec.read(*(read_table(Path(os.environ["FARO_DATA"]) / file) for file in spec.files))
    columns = [frame[f"{side}_answer"] for side in schema.sides]
    return [text for text in dict.fromkeys(text for column in columns for text in column) if text.strip()]


def report(name, texts, encoder, workers, ends) -> bool:
    import numpy as np

    speeds = {}
    for who, worker in workers.items():
        wall, cpu = (statistics.median(times) for times in zip(*worker.times, strict=True))
        speeds[who] = len(texts) / cpu
        print(f"{name}: {who}: {len(texts) / wall:.0f} texts/s, {speeds[who]:.1f} texts per CPU second")
    ratio = speeds["faro"] / speeds["sentence-transformers"]
    lengths = [len(its.ids) for its in encoder.tokenizer(texts, encoder.limit)]
    work_done = sum(flops(encoder.sizes, length) for length in lengths)
    shares = {of: work_done / (len(texts) / speeds["faro"]) / ends["faro"][of] for of in ("peak", "own")}
    ours, theirs = (ends[who] for who in ("faro", "sentence-transformers"))
    equal = sum(map(list.__eq__, ours["ids"], theirs["ids"]))
    apart = float(np.abs(np.array(ours["vectors"]) - np.array(theirs["vectors"])).max())
    if "onnxruntime" in ends:
        beside = speeds["faro"] / speeds["onnxruntime"]
        off = float(np.abs(np.array(ours["vectors"]) - np.array(ends["onnxruntime"]["vectors"])).max())
        print(f"{name}: {beside:.2f} times the speed of onnxruntime, whose vectors differ by at most {off:.1e}")
    print(
        f"{name}: ratio {ratio:.2f} (bar {BAR}); per CPU second {shares['peak']:.0%} of the peak of a square product, "
        f"{shares['own']:.0%} of what products with the widths of the encoder reach"
    )
    print(f"{name}: {equal} of {len(texts)} texts have equal token ids; vectors differ by at most {apart:.1e}")
    return ratio >= BAR and equal == len(texts) and apart <= CLOSE


def flops(sizes, length: int) -> float:
    """Of one text, without padding: products with weights, and attention."""
    weights = 4 * sizes.width**2 + 2 * sizes.width * sizes.hidden
    return sizes.layers * (2.0 * length * weights + 4.0 * length**2 * sizes.width)


class Worker:
    """A contender in a process of its own, which encodes when it is told to."""

    def __init__(self, who: str, python: str, encoder: Path, texts: list[str]):
        self.times: list[tuple[float, float]] = []
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        if python != sys.executable:
            environment.pop("PYTHONPATH", None)
        command = [python, str(HERE), "--worker", who, "--encoder", str(encoder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, env=environment, cwd=HERE.parent.parent, **pipes)
        self._say(json.dumps(texts))
        self._hear()

    def _say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is said where its answer is waited for
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def _hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[3]} ended; has {self.process.args[0]} what it needs?")
        return json.loads(line)

    def round(self) -> None:
        self._say("round")
        self.times.append(tuple(self._hear()))

    def end(self) -> dict:
        self._say("end")
        said = self._hear()
        self.process.wait()
        return said


def work(who: str, folder: str) -> int:
    """The loop of a worker: texts, then a line for every round, then vectors and tokens."""
    encode, finish = WORKERS[who](folder)
    texts = json.loads(sys.stdin.readline())
    vectors = encode(texts)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        wall, cpu = time.perf_counter(), time.process_time()
        vectors = encode(texts)
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
    print(json.dumps({"vectors": vectors.tolist(), **finish(texts)}), flush=True)
    return 0


def of_faro(folder: str):
    sys.path.insert(0, str(HERE.parent.parent))
    import jax
    import jax.numpy as jnp

    from faro.text.encoder import Encoder

    encoder = Encoder.read(Path(folder))

    def finish(texts):
        width, hidden = encoder.sizes.width, encoder.sizes.hidden
        of_a_layer = [(width, 3 * width), (width, width), (width, hidden), (hidden, width)]
        return {
            "peak": reached([(PEAK, PEAK)]),
            "own": reached(of_a_layer),
            "ids": [its.ids.tolist() for its in encoder.tokenizer(texts, encoder.limit)],
        }

    def reached(weights, times: int = 5) -> float:
        """Operations per CPU second of products of `PEAK` rows with matrices of these shapes."""
        product = jax.jit(lambda one, other: one @ other)
        pairs = [(jnp.ones((PEAK, rows)), jnp.ones((rows, columns))) for rows, columns in weights]
        for pair in pairs:
            product(*pair).block_until_ready()
        cpu = time.process_time()
        for pair in pairs * times:
            product(*pair).block_until_ready()
        return times * sum(2.0 * PEAK * rows * columns for rows, columns in weights) / (time.process_time() - cpu)

    return encoder.encode, finish


def of_sentence_transformers(folder: str):
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer

    model = SentenceTransformer(folder, device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def finish(texts):
        limit = model.max_seq_length
        return {"ids": [tokenizer(text, truncation=True, max_length=limit)["input_ids"] for text in texts]}

    return lambda texts: model.encode(texts, batch_size=32), finish


def of_onnxruntime(folder: str):
    """The network alone by onnxruntime; mean pooling and length 1, as MiniLM has them, in numpy."""
    import tempfile

    import numpy as np
    import onnxruntime
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    network = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    sample = tokenizer(["one text", "and a longer one"], padding=True, return_tensors="pt")
    with tempfile.TemporaryDirectory() as here:
        file = str(Path(here) / "network.onnx")
        axes = {name: {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens", min=2, max=512)} for name in names}
        with contextlib.redirect_stdout(sys.stderr):  # it says what it does
            torch.onnx.export(
                network, (), file, kwargs={name: sample[name] for name in names}, dynamic_shapes=axes, dynamo=True
            )
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    limit = json.loads((Path(folder) / "sentence_bert_config.json").read_text())["max_seq_length"]

    def encode(texts, batch: int = 32):
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        out = np.zeros((len(texts), network.config.hidden_size), np.float32)
        for first in range(0, len(order), batch):
            which = order[first : first + batch]
            given = tokenizer(
                [texts[at] for at in which], padding=True, truncation=True, max_length=limit, return_tensors="np"
            )
            states = session.run(None, {name: given[name].astype(np.int64) for name in names})[0]
            weight = given["attention_mask"][..., None].astype(np.float32)
            mean = (states * weight).sum(1) / weight.sum(1)
            out[which] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return out

    return encode, lambda texts: {}


WORKERS = {"faro": of_faro, "sentence-transformers": of_sentence_transformers, "onnxruntime": of_onnxruntime}


if __name__ == "__main__":
    sys.exit(main())
