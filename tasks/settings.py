"""Every option, once: its default, meaning, unit and environment variable (MUGE_<NAME>).

Options stand in groups. A part of the code that needs some of them takes the group that it needs;
`Settings` is all of them. Fields declared with `flag` are offered by commands and flows as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.encode.model.names import Choices as ModelChoices
from tasks.encode.model.names import with_choices
from tasks.options import Choices, Group, OptionValue, flag, plain, read_options
from tasks.ranges import Alike, Alpha, TextWeight, TopK
from tasks.records import Tokens

DocumentForm = Literal["image", "pair"]
PictureForm = Literal["jpeg", "png", "uri", "none"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "fp8"]
Kernels = Literal["eager", "compile", "graphs"]
DecodeIn = Literal["auto", "threads", "processes"]
RunnerName = Literal["threads", "ray"]
Strategy = Literal["in-place", "blue-green"]
TokensOption = Literal["auto", "words", "chars", "both"]
Fusion = Literal["weighted", "normalised", "rrf"]
AUTO = "auto"
NEW_TOKENS: Tokens = "chars"
"""What BM25 counts in a new collection."""
ProtocolName = Literal["auto", "official", "held-out", "leave-query-out"]


class Place(Group):
    """Where data lies: what a run keeps, and the collection it is about."""

    home: str = plain(".muge", description="Folder in which everything a run keeps lies.")
    work_dir: str | None = flag(None, "Work folder (any fsspec URL). Default: MUGE_HOME/work.")
    store: str | None = flag(None, "zvec:DIR or dashvector: . Default: zvec:MUGE_HOME/store.")
    collection: str = flag("muge", "Collection: 3 to 32 of a-z A-Z 0-9 _ -, first a letter.")

    @property
    def work_url(self) -> str:
        """The work folder in force."""
        return self.work_dir or str(Path(self.home) / "work")

    @property
    def store_uri(self) -> str:
        """The store in force."""
        return self.store or f"zvec:{Path(self.home) / 'store'}"


class Content(Group):
    """What is indexed, and as what: equal options and equal data give equal documents."""

    partition: str = flag("default", "Partition of the collection.")
    model: str = flag(
        "sample",
        "sample, a ModelScope id, hf: and one of Hugging Face, a folder, a .pt, or st:NAME.",
    )
    dimension: int = flag(
        0, "Cut vectors of an st: model to so many numbers. 0: the model's own.", ge=0, le=65536
    )
    instruction: str | None = flag(
        None, "What queries of an st: model begin with. Default: the model's own."
    )
    trust_remote_code: bool = flag(
        False, "Run the code that an st: model brings; read it first. Collections note it."
    )
    document: DocumentForm = flag(
        "image", "One document an image (all its queries), or one an (image, query)."
    )
    picture: PictureForm = flag("jpeg", "What a document carries of its picture.")
    thumbnail_pixels: int = plain(
        160, ge=16, le=1024, description="Longest side of the JPEG picture field, pixels."
    )
    max_image_pixels: int = plain(
        100_000_000, ge=1, description="Larger pictures are rejected undecoded, pixels."
    )
    max_image_bytes: int = plain(
        64 * 1024 * 1024, ge=1, description="Larger image files are rejected unread, bytes."
    )
    upright: bool = flag(
        True, "Turn pictures as their EXIF orientation says; off: as Chinese-CLIP saw them."
    )
    links: bool = flag(True, "Follow links on the disk, wherever in it they lead.")
    fields: str | None = flag(
        None, "Columns of a table that documents carry: all, or price:float,brand,name=column."
    )
    image_root: str | None = flag(
        None, "Folder of the pictures that a table names. Default: the table's."
    )
    user_dictionary: str | None = plain(
        None, description="File of words that BM25 never cuts apart, one a line."
    )
    stop_words: str | None = plain(
        None, description="File of words that BM25 never counts, one a line, instead of its own."
    )
    tokens: TokensOption = flag(
        "auto",
        "What BM25 counts of Chinese: words, chars (characters and pairs), or both. "
        "auto: as the collection has it; a new one: chars.",
    )
    simplified: Literal["auto", "yes", "no"] = plain(
        "auto",
        description="BM25 takes traditional characters as simplified ones; auto: as the collection "
        "has it, a new one: yes.",
    )
    bm25: str = plain(
        "corpus", description="corpus, or DashText statistics: a file or an https address."
    )
    bm25_sha256: str | None = plain(
        None, pattern=r"^[0-9a-fA-F]{64}$", description="SHA-256 of the DashText statistics."
    )

    @property
    def model_name(self) -> str:
        """The model with what is chosen of it, as records name it; raises `ModelError`."""
        chosen = ModelChoices(self.dimension, self.instruction, self.trust_remote_code)
        return with_choices(self.model, chosen)


class Encoding(Group):
    """How pictures and texts are encoded."""

    device: str = flag("auto", "auto, cpu, cuda, cuda:N or mps.")
    precision: Precision = plain(
        "auto", description="Number format of the model; auto: the fastest the machine has."
    )
    kernels: Kernels = plain(
        "eager", description="The picture tower as it is, compiled, or as CUDA graphs."
    )
    jpeg_draft: bool = plain(
        False, description="Decode large JPEGs at a fraction of their size: faster, not the same."
    )
    decoders: int = plain(
        0, ge=0, le=256, description="Pictures that are decoded at a time; 0: one a core."
    )
    decode_in: DecodeIn = plain(
        "auto", description="Who decodes pictures: auto is processes for a GPU, and else threads."
    )
    decode_seconds: float = plain(
        30.0, gt=0, description="Large pictures that take longer to decode are rejected, seconds."
    )
    batch_images: int = plain(
        0,
        ge=0,
        le=4096,
        description="Images a model call; 0: what fits batch_memory_mb, up to 256.",
    )
    batch_memory_mb: int = plain(
        4096, ge=64, description="GPU memory for the work on one batch, MiB."
    )
    checkpoint_seconds: float = plain(
        10.0, ge=0.0, description="A killed run loses at most so much encoding of a shard, seconds."
    )
    max_delta: float = plain(
        0.1,
        ge=0.0,
        le=1.0,
        description="Share of a shard's pictures that may lie beside its file; 0: it is rewritten.",
    )


class Running(Group):
    """How a run is cut into parts and where those run."""

    shard_images: int = flag(1000, "Images a shard, at most.", ge=1)
    workers: int = flag(2, "Shards worked on at the same time.", ge=1, le=256)
    runner: RunnerName = flag("threads", "Encode in threads of this process, or on a Ray cluster.")
    max_images: int = flag(
        0, "Most new pictures that this run encodes; the next goes on. 0: all.", ge=0
    )
    deadline: str | None = flag(
        None, "Stop after 2h or 90m, or at 06:00; the next run goes on. Default: at the end."
    )
    wait: float = flag(0.0, "Wait for another run on the work folder to end, seconds.", ge=0.0)
    only_writer: bool = plain(
        False,
        description="Nobody else writes to the work folder: its storage need not hold a lock.",
    )
    watch_seconds: float = plain(
        30.0, gt=0, description="How often a reindex with --watch looks at the files, seconds."
    )
    settle_seconds: float = plain(
        30.0,
        ge=0,
        description="A watched run starts when nothing was written for so long, seconds.",
    )
    ray_cpus: float = plain(1.0, gt=0, description="CPUs of a Ray node that one shard uses.")
    ray_gpus: float | None = plain(
        None, ge=0, description="GPUs that one shard takes. Default: 1 if the Ray cluster has any."
    )
    sparse_workers: int = plain(
        min(os.cpu_count() or 1, 8), ge=1, le=64, description="BM25 processes for large data sets."
    )
    verify_samples: int = plain(64, ge=1, description="Documents re-read after an index run.")


class Downloading(Group):
    """How the pictures at the addresses of a data set are downloaded."""

    download_at_once: int = plain(
        32, ge=1, le=512, description="Pictures downloaded at the same time."
    )
    download_per_host: int = plain(
        8, ge=1, le=512, description="Pictures downloaded at the same time from one host."
    )
    download_retries: int = plain(
        3, ge=0, le=20, description="How often an address is tried again that may answer by then."
    )
    download_seconds: float = plain(
        60.0, gt=0, description="An address that takes longer in all is a failure, seconds."
    )
    download_silence_seconds: float = plain(
        15.0, gt=0, description="An address that sends nothing for longer is a failure, seconds."
    )
    download_private: bool = plain(
        False, description="Download from this machine and private networks too."
    )


class Searching(Group):
    """How a search weighs and how much it answers."""

    alpha: Alpha = flag(0.8, "1 = meaning (dense) only, 0 = keywords (sparse) only.")
    fusion: Fusion = flag(
        "weighted",
        "How meaning and keywords become one ranking: the store's weighted sum, that of scores "
        "stretched to 0..1, or reciprocal ranks.",
    )
    topk: TopK = flag(10, "Number of results.")
    text_weight: TextWeight = flag(
        0.0, "With a picture and a text: the text's share in the meaning; 0: it is keywords alone."
    )


class Replacing(Group):
    """What a reindex may do to the live collection."""

    max_drop: float = flag(
        0.01, "R@10 that a new collection may be below the live one.", ge=0.0, le=1.0
    )
    max_removed: float = flag(
        0.5, "Share of the live documents that a reindex may remove.", ge=0.0, le=1.0
    )
    max_bm25_drift: float = plain(
        0.1, ge=0.0, description="BM25 drift from which a reindex in place advises counting anew."
    )


class Retaining(Group):
    """How long what nobody needs any more is kept."""

    keep_days: float = flag(7.0, "Keep what was written within so many days.", ge=0.0)
    keep_runs: int = flag(
        1, "Keep the newest so many runs of each data set that no collection is made of.", ge=0
    )
    keep_artifacts: int = flag(
        100, "Keep the newest so many artifacts of each kind on the Prefect server.", ge=1
    )


class Settings(Place, Content, Encoding, Running, Downloading, Searching, Replacing, Retaining):
    """All options of a run."""


class IndexChoices(Choices):
    """What an index run does with a collection that is there."""

    replace: bool = flag(False, "Drop the collection first if it was made of something else.")


class ReindexChoices(Choices):
    """How a reindex replaces."""

    strategy: Strategy = flag(
        "in-place",
        "in-place: send what changed. blue-green: a new collection, checked, then the alias moves; "
        "a name of at most 26 characters, since a number is added.",
    )
    gate_queries: str | None = flag(
        None, "Data set whose queries compare both collections. Default: drawn."
    )
    keep_previous: bool = flag(
        True, "Keep the collection before, until the next reindex, for rollback."
    )
    retry_rejects: bool = flag(
        False, "Try pictures again that could not be downloaded or decoded before."
    )
    refresh_pictures: bool = flag(True, "Ask all addresses of pictures whether they have new ones.")


class PruneChoices(Choices):
    """What is done with what nobody needs any more."""

    delete: bool = flag(False, "Delete it; without this it is only listed.")


class DropChoices(Choices):
    """Which collections may be dropped."""

    in_use: bool = flag(
        False, "Drop it though searches use it, a rollback would, or nobody can say."
    )


class EvaluateChoices(Choices):
    """What an evaluation measures beyond the standard, and what it is held against.

    `predictions` is a file for the leaderboard's lines, `run`, `qrels_out` and `per_query` are
    files for other tools, `judgements` one that takes the place of the data set's relevance.
    `filter` restricts the gallery to the documents that it takes, `max_metric_drop` is how far a
    metric may fall below a baseline: one that is given, or with `hold` the one that the work folder
    keeps. `against` is an earlier evaluation or a run to be compared with.
    """

    protocol: ProtocolName = flag(
        "auto",
        "auto: held-out if no query is in the documents' text, else official (by meaning alone). "
        "leave-query-out: each query on documents without it.",
    )
    alpha_sweep: bool = flag(False, "Measure alpha from 0 to 1, and rank fusion.")
    judgements: str | None = flag(
        None, "TREC qrels, graded: relevance in place of the data set's own."
    )
    group_by: str | None = flag(None, "Column of a table: numbers by its values as well.")
    predictions: str | None = flag(None, "Write the MUGE leaderboard's lines to this file.")
    run: str | None = flag(
        None, "Write the rankings as TREC runs, one a mode: r.trec is r.dense.trec, ..."
    )
    qrels_out: str | None = flag(None, "Write the judgements as TREC qrels to this file.")
    per_query: str | None = flag(None, "Write what each query scored to this Parquet file.")
    against: str | None = flag(
        None, "What --per-query wrote before, or a TREC run: paired tests against it."
    )
    hold: bool = flag(False, "Fail if a metric fell below the baseline that the work folder keeps.")
    accept: bool = flag(False, "Keep this evaluation as the baseline, whatever it is.")
    baseline: str | None = flag(None, "JSON of an earlier run: fail if a metric fell.")
    max_metric_drop: float = flag(
        0.005, "How far a metric may fall below the baseline.", name="max_drop", ge=0.0
    )
    filter: str | None = flag(None, "For example: image_id < 1000")


class ExportedJudgements(Choices):
    """The files that judgements of the search page are written to."""

    qrels: str | None = flag(None, "Write the grades as TREC qrels to this file.")
    queries: str | None = flag(
        None, "Write the judged queries to this JSONL file: evaluate jsonl:FILE."
    )
    jsonl: str | None = flag(None, "Write every thumb with user, time and settings to this file.")


class AskChoices(Choices):
    """What is asked: one question, or a file of them with one for the answers."""

    text: str | None = flag(None, "Chinese query.")
    image: str | None = flag(None, "Picture file or http(s) URL.")
    like: str | None = flag(None, "Id of a document: more like it.")
    queries: str | None = flag(None, "JSONL file of questions (text, image, ...); needs --out.")
    out: str | None = flag(None, "JSONL file for the answers.")
    interactive: bool = flag(
        False, "Answer line after line of standard input, with the model loaded once."
    )


class HitChoices(Choices):
    """Which hits are wanted of each question."""

    filter: str | None = flag(None, "For example: image_id < 1000")
    group_by: str | None = flag(None, "Field: the best hits of each of its --topk best values.")
    per_group: int = flag(3, "Hits a group.", ge=1)
    products: bool = flag(True, "One hit a product, its best picture, if the data has products.")
    alike: Alike | None = flag(
        None, "One hit for pictures that are at least so alike (cosine), such as 0.97."
    )


class DashVectorSettings(BaseSettings):
    """Credentials of the DashVector service; never printed, logged or written."""

    model_config = SettingsConfigDict(env_prefix="DASHVECTOR_", frozen=True, extra="ignore")

    api_key: SecretStr | None = plain(None, description="API key.")
    endpoint: SecretStr | None = plain(None, description="Cluster endpoint, without a scheme.")
    api_key_file: str | None = plain(None, description="File that holds the API key.")
    api_key_command: str | None = plain(None, description="Command that prints the API key.")
    endpoint_file: str | None = plain(None, description="File that holds the endpoint.")
    endpoint_command: str | None = plain(None, description="Command that prints the endpoint.")
    roots: str | None = plain(
        None, description="File of the only roots to trust, PEM. Default: the system's and known."
    )
    requests_per_second: float = plain(
        100.0,
        gt=0,
        description="Most requests a second this process sends, retries included.",
    )


class WebSettings(BaseSettings):
    """Options of the search page and its API, as a server (`muge web`)."""

    model_config = SettingsConfigDict(env_prefix="MUGE_WEB_", frozen=True, extra="ignore")

    host: str = flag("127.0.0.1", "Address to listen on; 0.0.0.0: every network.")
    port: int = flag(7860, "Port to listen on; 0: any free one.", ge=0, le=65535)
    mcp: bool = flag(False, "Serve /mcp too: search tools for assistants.")
    token: SecretStr | None = plain(None, description="Whoever asks must give it. Default: none.")
    hosts: str = plain(
        "",
        description="Names, by commas, that the page is asked by. Default: those of loopback if it "
        "listens there, else any.",
    )
    origins: str = plain(
        "",
        description="Sites, by blanks, whose scripts may use the API, such as "
        "https://shop.example; *: all.",
    )
    frames: str = plain("", description="Sites, by blanks, that may show the page in a frame.")
    proxies: str = plain("", description="Addresses of proxies whose X-Forwarded-For is believed.")
    judge: Literal["auto", "on", "off"] = plain(
        "auto",
        description="Thumbs on hits, kept in the work folder; auto: where the page listens on "
        "loopback or has a token.",
    )
    user_header: str = plain(
        "",
        pattern="^[A-Za-z0-9-]*$",
        description="Header in which a proxy of MUGE_WEB_PROXIES names who judges. Default: a "
        "number of the browser.",
    )
    fetch: Literal["public", "private", "off"] = plain(
        "public", description="Picture addresses fetched: public ones, private too, or none."
    )
    fetch_seconds: float = plain(10, gt=0, le=120, description="Time for a picture's address.")
    picture_bytes: int = plain(10 * 2**20, ge=1, description="Larger pictures are refused, bytes.")
    picture_pixels: int = plain(
        40_000_000, ge=1, description="Larger pictures are refused undecoded, pixels."
    )
    decoders: int = plain(
        2, ge=1, le=64, description="Processes that decode pictures; one client has all but one."
    )
    decode_seconds: float = plain(
        5.0, gt=0, le=60, description="Pictures that take longer to decode are refused, seconds."
    )
    decode_memory_mb: int = plain(
        1024, ge=64, description="Pictures that take more memory to decode are refused, MiB."
    )
    kept_bytes: int = plain(
        64 * 2**20, ge=1, description="Uploaded pictures kept in memory for links, bytes."
    )
    workers: int = plain(1, ge=1, le=64, description="Searches worked on at the same time.")
    threads: int = plain(
        0, ge=0, description="CPU threads of one search; 0: half the cores, shared by the workers."
    )
    queue: int = plain(32, ge=0, le=10_000, description="Searches that wait; more get a 503.")
    wait_seconds: float = plain(10, gt=0, le=300, description="A search that waits longer: 503.")
    rate: int = plain(240, ge=1, description="Searches a minute and client; more get a 429.")
    connections: int = plain(
        512, ge=1, le=100_000, description="Connections at the same time; more get a 503."
    )
    client_connections: int = plain(
        64, ge=1, description="Connections of one client at the same time (of a proxy: any number)."
    )
    head_seconds: float = plain(10, gt=0, description="Time for a request to begin and be asked.")
    body_seconds: float = plain(30, gt=0, description="Time for what is sent with a request.")
    topk: TopK = plain(100, description="Most results of one search.")
    idle_seconds: float = plain(
        15, gt=0, description="After this the store is let go, so that others may write."
    )
    examples: str = plain("", description="Example queries, by |. Default: texts of the data.")


class Speaking(Group):
    """What the command speaks at a terminal."""

    language: Literal["auto", "zh", "en"] = plain(
        "auto",
        description="Language of help, tables and errors at a terminal. Default: the system's.",
    )
    pictures: Literal["auto", "never"] = plain(
        "auto", description="Thumbnails of hits at a terminal that shows pictures ([terminal])."
    )


class Seeing(Group):
    """What is seen of runs while they go: lines of a log, and metrics.

    Traces are said by the variables of OpenTelemetry.
    """

    log_format: Literal["text", "json"] = flag(
        "text", "Standard error as text, or as JSON: one object a line."
    )
    metrics_dir: str | None = flag(
        None, "Folder for metrics of runs, as node_exporter's textfile collector reads it."
    )
    metrics_push: SecretStr | None = plain(
        None, description="Address of a Prometheus Pushgateway, with USER:PASSWORD@ if it asks."
    )
    metrics_job: str = plain("muge", min_length=1, description="Job that is pushed as.")
    metrics_seconds: float = plain(
        15.0, gt=0, description="Metrics of a run at work are written so often, seconds."
    )


class DeploySettings(BaseSettings):
    """Options of deployments on a Prefect server (`muge deploy`, `muge serve`)."""

    model_config = SettingsConfigDict(env_prefix="MUGE_DEPLOY_", frozen=True, extra="ignore")

    dataset: str = flag("sample:", "Data set that the deployments index.")
    queries: str | None = flag(
        None, "Data set of the queries that measure it. Default: itself (sample: held out)."
    )
    source: str | None = flag(
        None,
        "Where runs find the code: a folder that all workers have, or a git address. "
        "Default: this installation.",
    )
    branch: str = flag("main", "Branch of a git address.")
    commit: str = plain("", description="Commit that an image was made of; evaluations name it.")
    port: int = flag(4200, "Port of the Prefect server that `muge serve` starts.", ge=1, le=65535)


def load_deploy_settings(**given: OptionValue) -> DeploySettings:
    """As `load_settings`, for deployments."""
    return read_options(DeploySettings, given)


def load_web_settings(**given: OptionValue) -> WebSettings:
    """As `load_settings`, for the server."""
    return read_options(WebSettings, given)


def load_settings(**given: OptionValue) -> Settings:
    """Settings from arguments (None means not given), environment and defaults.

    Raises `UsageError` naming the option, its value and what is allowed.
    """
    return read_options(Settings, given)
