"""Models as a process sees them that knows one hub alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers.hub import Hub
from tests.servers.hugging_face import HuggingFaceHub

HUB_SCRIPT = """
import dataclasses, json, sys
from tasks.encode.model.describe import describe_model
from tasks.errors import ModelError
for name in sys.stdin:
    try:
        answer = dataclasses.asdict(describe_model(name.strip()))
    except ModelError as error:
        answer = str(error)
    print(json.dumps(answer), flush=True)
"""


class HubUser:
    """A process that describes models, whose hub's client talks to one hub alone."""

    def __init__(self, hub: Hub | HuggingFaceHub, cache: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HUB_SCRIPT],
            env={**os.environ, **hub.environment(cache)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )

    def describe(self, model: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{model}\n")
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()
