"""What all tests share: a tiny tokenizer and model, the command line without a network, and real data if any."""

import os

# Before torch, tokenizers or transformers are imported: they read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
else:
    os.environ.setdefault("OMP_NUM_THREADS", "2")

import pydoc_data.topics
import resource
import signal
import socket
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong; and a change's tests should not depend on luck.
settings.register_profile("house", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("house")

pytest_plugins = ("fixtures.corpora", "fixtures.runs", "fixtures.studies", "fixtures.tuned")
Run = Callable[..., subprocess.CompletedProcess[str]]
FIRST_TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] . ,"
TINY_PIECES = "un play walk work quick friend teach ##able ##ed ##er ##est ##ing ##ly ##ness ##s"
TINY_WORDS = """
    a and are at bird book by cat child city day dog door each fish for from garden girl good green he her his house
    in is it language long man many mask model morning no not of old on one river sea she small song street sun that
    the they to token tree was water we were who wind with woman word
"""


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A lower-case WordPiece tokenizer in memory: [PAD] [UNK] [CLS] [SEP] [MASK] are 0 to 4.

    Every lower-case ASCII word has pieces, so words of one, few and many tokens are at hand: "the", "play ##ing",
    "z ##e ##b ##r ##a".
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [*string.ascii_lowercase.replace("a", ""), *(f"##{letter}" for letter in string.ascii_lowercase)]
    tokens = [*FIRST_TOKENS.split(), *letters, *TINY_PIECES.split(), *TINY_WORDS.split()]
    ids = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


@pytest.fixture
def tiny_model(tiny_tokenizer):
    """A random BertForMaskedLM over `tiny_tokenizer`: 2 layers, 32 wide, no dropout, the same weights every time."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tiny_tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BertForMaskedLM(config)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of the Python language reference: a 600-token vocabulary, blocks of 32. Do not write into it."""
    from maskwise.lab.tokens.prepare import PrepareSettings, prepare

    folder = tmp_path_factory.mktemp("data")
    text = folder / "topics.txt"
    topics = sorted(pydoc_data.topics.topics.values())[:60]
    text.write_text("\n\n".join(topic.replace("\n\n", "\n") for topic in topics), encoding="utf-8")
    settings = PrepareSettings(sources=(str(text),), out=folder / "blocks", train_tokenizer=600, block=32, workers=1)
    prepare(settings, show=False)
    return folder / "blocks"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data, from MASKWISE_DATA; tests that ask for it are marked `data`."""
    root = os.environ.get("MASKWISE_DATA")
    if not root:
        pytest.skip("MASKWISE_DATA is not set")
    return Path(root)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of a run: one thread, no network."""
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.fixture(scope="session")
def run_maskwise(environment: dict[str, str]) -> Run:
    """Runs the command line in a process of its own; `launcher` comes before `-m maskwise`."""

    def run(arguments: Sequence[str], *, fails: bool = False, launcher: Sequence[str] = (sys.executable,)):
        command = [*launcher, "-m", "maskwise", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
        assert fails or result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture(scope="session")
def killed_when(environment: dict[str, str]) -> Callable[[Sequence[str], Callable[[], bool]], None]:
    """Runs the command line in a process of its own, and kills it at the moment a condition holds."""

    def run(arguments: Sequence[str], condition: Callable[[], bool]) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "maskwise", *arguments],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while not condition():
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.0005)
        process.kill()
        assert process.wait() == -signal.SIGKILL

    return run


LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--nproc-per-node", "2", "--master-port"),
    "accelerate": ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port"),
}


@pytest.fixture(scope="session")
def two_processes() -> Callable[..., list[str]]:
    """Makes the command that runs what is put after it on two processes, which talk at a free port."""

    def make(launcher: str = "torchrun") -> list[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return [sys.executable, "-m", *LAUNCHERS[launcher], str(free.getsockname()[1])]

    return make


@pytest.fixture(scope="session")
def exit_code() -> Callable[[Sequence[object]], int | str | None]:
    """Runs the command line in this process and returns its exit code: nothing has to be imported again."""
    from maskwise.__main__ import main

    def run(arguments: Sequence[object]) -> int | str | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["maskwise", *map(str, arguments)])
            with pytest.raises(SystemExit) as stopped:
                main()
        return stopped.value.code

    return run


@pytest.fixture
def maskwise(exit_code, capsys: pytest.CaptureFixture[str]) -> Callable[[Sequence[object]], str]:
    """Runs the command line in this process, expects that it goes well, and returns what it prints."""

    def run(arguments: Sequence[object]) -> str:
        code, printed = exit_code(arguments), capsys.readouterr()
        assert not code, printed.err
        return printed.out

    return run


@pytest.fixture
def refused(exit_code, capsys: pytest.CaptureFixture[str]) -> Callable[[Sequence[object]], str]:
    """Runs the command line in this process, expects exit code 2 and no traceback, and returns what stderr says."""

    def run(arguments: Sequence[object]) -> str:
        code, text = exit_code(arguments), capsys.readouterr().err
        assert code == 2, text
        assert "Traceback" not in text
        return text

    return run


@pytest.fixture(scope="session")
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A block in which no file can grow beyond so many bytes: to a program, that is a full disk."""

    @contextmanager
    def limited(num_bytes: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
