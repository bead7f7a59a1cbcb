"""Every option, once: its default, meaning, unit and environment variable (MUGE_<NAME>)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.errors import UsageError
from tasks.ranges import Alpha, TopK


class Settings(BaseSettings):
    """Options of a run. Values come from arguments, then environment, then these defaults."""

    model_config = SettingsConfigDict(env_prefix="MUGE_", frozen=True, extra="ignore")

    home: str = Field(".muge", description="Folder in which everything a run keeps lies.")
    work_dir: str | None = Field(
        None, description="Work folder (any fsspec URL). Default: <home>/work."
    )
    store: str | None = Field(
        None, description="zvec:DIR or dashvector: . Default: zvec:<home>/store."
    )
    collection: str = Field(
        "muge", description="Collection: 3 to 32 of a-z A-Z 0-9 _ -, first a letter."
    )
    partition: str = Field("default", description="Partition of the collection.")
    model: str = Field("sample", description="sample, a ModelScope id, or a folder in that layout.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    document: Literal["image", "pair"] = Field(
        "image", description="One document an image (all its queries), or one an (image, query)."
    )
    picture: Literal["jpeg", "png", "uri", "none"] = Field(
        "jpeg", description="What a document carries of its picture."
    )
    thumbnail_pixels: int = Field(
        160, ge=16, le=1024, description="Longest side of the JPEG picture field, pixels."
    )
    max_image_pixels: int = Field(
        100_000_000, ge=1, description="Larger pictures are rejected undecoded, pixels."
    )
    max_image_bytes: int = Field(
        64 * 1024 * 1024, ge=1, description="Larger image files are rejected unread, bytes."
    )
    shard_images: int = Field(1000, ge=1, description="Images a shard.")
    batch_images: int = Field(
        0, ge=0, le=4096, description="Images a model call; 0: as many as fit batch_memory_mb."
    )
    batch_memory_mb: int = Field(
        4096, ge=64, description="GPU memory for the work on one batch, MiB."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp8"] = Field(
        "auto", description="Number format of the model; auto: the fastest the machine has."
    )
    kernels: Literal["eager", "compile", "graphs"] = Field(
        "eager", description="The picture tower as it is, compiled, or as CUDA graphs."
    )
    jpeg_draft: bool = Field(
        False, description="Decode large JPEGs at a fraction of their size: faster, not the same."
    )
    decoders: int = Field(
        0, ge=0, le=256, description="Threads that decode pictures; 0: one a core."
    )
    checkpoint_seconds: float = Field(
        10.0, ge=0.0, description="A killed run loses at most so much encoding of a shard, seconds."
    )
    workers: int = Field(2, ge=1, le=256, description="Shards worked on at the same time.")
    runner: Literal["threads", "ray"] = Field(
        "threads", description="Encode in threads of this process, or on a Ray cluster."
    )
    ray_cpus: float = Field(1.0, gt=0, description="CPUs of a Ray node that one shard uses.")
    ray_gpus: float | None = Field(
        None, ge=0, description="GPUs that one shard takes. Default: 1 if the Ray cluster has any."
    )
    user_dictionary: str | None = Field(
        None, description="File of words that BM25 never cuts apart, one a line."
    )
    stop_words: str | None = Field(
        None, description="File of words that BM25 never counts, one a line, instead of its own."
    )
    bm25: str = Field(
        "corpus", description="corpus, or DashText statistics: a file or an https address."
    )
    bm25_sha256: str | None = Field(
        None, pattern=r"^[0-9a-fA-F]{64}$", description="SHA-256 of the DashText statistics."
    )
    sparse_workers: int = Field(
        min(os.cpu_count() or 1, 8), ge=1, le=64, description="BM25 processes for large data sets."
    )
    alpha: Alpha = Field(0.8, description="1 = meaning (dense) only, 0 = keywords (sparse) only.")
    topk: TopK = Field(10, description="Number of results.")
    verify_samples: int = Field(64, ge=1, description="Documents re-read after an index run.")
    wait: float = Field(
        0.0, ge=0.0, description="Wait for another run on the work folder to end, seconds."
    )
    max_drop: float = Field(
        0.01, ge=0.0, le=1.0, description="R@10 that a new collection may be below the live one."
    )
    max_removed: float = Field(
        0.5, ge=0.0, le=1.0, description="Share of the live documents that a reindex may remove."
    )
    max_bm25_drift: float = Field(
        0.1, ge=0.0, description="BM25 drift from which a reindex in place advises counting anew."
    )

    @property
    def work_url(self) -> str:
        """The work folder in force."""
        return self.work_dir or str(Path(self.home) / "work")

    @property
    def store_uri(self) -> str:
        """The store in force."""
        return self.store or f"zvec:{Path(self.home) / 'store'}"


class DashVectorSettings(BaseSettings):
    """Credentials of the DashVector service; never printed, logged or written."""

    model_config = SettingsConfigDict(env_prefix="DASHVECTOR_", frozen=True, extra="ignore")

    api_key: SecretStr | None = Field(default=None, description="API key.")
    endpoint: SecretStr | None = Field(
        default=None, description="Cluster endpoint, without a scheme."
    )
    requests_per_second: float = Field(
        default=100.0,
        gt=0,
        description="Most requests a second this process sends, retries included.",
    )


class WebSettings(BaseSettings):
    """Options of the search page and its API, as a server (`muge web`)."""

    model_config = SettingsConfigDict(env_prefix="MUGE_WEB_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0: every network.")
    port: int = Field(7860, ge=0, le=65535, description="Port to listen on; 0: any free one.")
    token: SecretStr | None = Field(None, description="Whoever asks must give it. Default: none.")
    hosts: str = Field(
        "", description="Names, by commas, that the page is asked by. Default: see the README."
    )
    frames: str = Field("", description="Sites, by blanks, that may show the page in a frame.")
    proxies: str = Field("", description="Addresses of proxies whose X-Forwarded-For is believed.")
    fetch: Literal["public", "private", "off"] = Field(
        "public", description="Picture addresses fetched: public ones, private too, or none."
    )
    fetch_seconds: float = Field(10, gt=0, le=120, description="Time for a picture's address.")
    picture_bytes: int = Field(10 * 2**20, ge=1, description="Larger pictures are refused, bytes.")
    picture_pixels: int = Field(
        40_000_000, ge=1, description="Larger pictures are refused undecoded, pixels."
    )
    kept_bytes: int = Field(
        64 * 2**20, ge=1, description="Uploaded pictures kept in memory for links, bytes."
    )
    workers: int = Field(1, ge=1, le=64, description="Searches worked on at the same time.")
    threads: int = Field(
        0, ge=0, description="CPU threads of one search; 0: half the cores, shared by the workers."
    )
    queue: int = Field(32, ge=0, le=10_000, description="Searches that wait; more get a 503.")
    wait_seconds: float = Field(10, gt=0, le=300, description="A search that waits longer: 503.")
    rate: int = Field(240, ge=1, description="Searches a minute and client; more get a 429.")
    topk: TopK = Field(100, description="Most results of one search.")
    idle_seconds: float = Field(
        15, gt=0, description="After this the store is let go, so that others may write."
    )
    examples: str = Field("", description="Example queries, by |. Default: texts of the data.")


class DeploySettings(BaseSettings):
    """Options of deployments on a Prefect server (`muge deploy`, `muge serve`)."""

    model_config = SettingsConfigDict(env_prefix="MUGE_DEPLOY_", frozen=True, extra="ignore")

    dataset: str = Field("sample:", description="Data set that the deployments index.")
    queries: str | None = Field(
        None,
        description="Data set of the queries that measure it. Default: itself (sample: held out).",
    )
    source: str | None = Field(
        None,
        description="Where runs find the code: a folder that all workers have, or a git address. "
        "Default: this installation.",
    )
    branch: str = Field("main", description="Branch of a git address.")
    port: int = Field(
        4200, ge=1, le=65535, description="Port of the Prefect server that `muge serve` starts."
    )


def load_deploy_settings(**given: Any) -> DeploySettings:
    """As `load_settings`, for deployments."""
    try:
        return DeploySettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise UsageError(_describe(error, "MUGE_DEPLOY_")) from None


def load_web_settings(**given: Any) -> WebSettings:
    """As `load_settings`, for the server."""
    try:
        return WebSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise UsageError(_describe(error, "MUGE_WEB_")) from None


def load_settings(**given: Any) -> Settings:
    """Settings from arguments (None means not given), environment and defaults.

    Raises `UsageError` naming the option, its value and what is allowed.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise UsageError(_describe(error)) from None


def option_help(name: str) -> str:
    """The meaning of an option as written here, for a command's help."""
    return Settings.model_fields[name].description or ""


def web_option_help(name: str) -> str:
    """As `option_help`, for the server's options."""
    return WebSettings.model_fields[name].description or ""


def deploy_option_help(name: str) -> str:
    """As `option_help`, for the deployments' options."""
    return DeploySettings.model_fields[name].description or ""


def _describe(error: ValidationError, prefix: str = "MUGE_") -> str:
    problems = []
    for item in error.errors():
        name = str(item["loc"][0])
        problems.append(
            f"{name.replace('_', '-')} ({prefix}{name.upper()}) is {item['input']!r}: {item['msg']}"
        )
    return "; ".join(problems)
