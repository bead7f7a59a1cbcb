"""The long form: `python -m tests.campaign --runs 300`; prints what was survived, as a table."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from tests.campaign.children import STAGES, Zygote
from tests.campaign.scenario import Scenario, Tally
from tests.disk import mounted
from tests.encode.model.models import make_model
from tests.servers.dashvector import DashVectorServer
from tests.servers.loopback import loopback_allowed
from tests.servers.prefect import prefect_server

STEPS = 4


def campaign(runs: int, seed: int, place: Path, server: str | None) -> Tally:
    """Play scenarios until `runs` runs were disturbed, every third scenario on the DashVector
    server; of the runs, one of `FLOW_EVERY` is a flow run on the Prefect server at `server`, if
    there is one."""
    tally = Tally()
    model = str(make_model(place / "model", "resnet-50").folder)
    environment = {"PREFECT_LOGGING_LEVEL": "CRITICAL"}
    if server is not None:
        environment["PREFECT_API_URL"] = server
    with (
        loopback_allowed(),
        Zygote(environment) as zygote,
        mounted(place / "disk", 64 << 10) as disk,
    ):
        while tally.disturbed < runs:
            here = place / f"scenario-{seed}"
            here.mkdir()
            with DashVectorServer() if seed % 3 == 2 else nullcontext() as dashvector:
                prefect = server is not None
                Scenario(seed, here, model, zygote, tally, dashvector, disk, prefect).play(STEPS)
            shutil.rmtree(here)
            for left in disk.iterdir() if disk is not None else ():
                shutil.rmtree(left)
            said = f"seed {seed}: {tally.disturbed} disturbed, {tally.runs} runs"
            print(said, dict(tally.errors), *tally.failures, file=sys.stderr, flush=True)
            seed += 1
    return tally


def main() -> int:
    """Print the table; the exit code is 1 if anything was lost, doubled, stale or not idle."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign")
    parser.add_argument("--runs", type=int, default=300, help="disturbed runs (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--without-prefect", action="store_true", help="start no Prefect server")
    given = parser.parse_args()
    start = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="muge-campaign-") as folder,
        nullcontext() if given.without_prefect else prefect_server(Path(folder) / "p") as server,
    ):
        tally = campaign(given.runs, given.seed, Path(folder), server)
    print(f"{platform.node()}, {time.monotonic() - start:.0f} s")
    print(f"{tally.runs} runs, {tally.disturbed} of them disturbed")
    print(f"{tally.flows} runs as flows under Prefect, {tally.disturbed_flows} of them disturbed")
    print("disturbances:", ", ".join(f"{n} {kind}" for kind, n in tally.disturbances.items()))
    print("killed in:")
    for stage in ("start", *STAGES):
        print(f"  {stage:<18} {tally.kills[stage]}")
    print("errors that runs ended with:", dict(tally.errors) or "none")
    print(f"failures: {len(tally.failures)}")
    for failure in tally.failures:
        print(f"  {failure}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
