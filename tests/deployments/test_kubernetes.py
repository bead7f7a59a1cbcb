"""The Kubernetes files: what Kustomize makes of them, compared with the code that they start."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from deployments.production.definitions import ROOT, read_definitions
from deployments.production.worker import HANDING_SECONDS, STOPPING_SECONDS
from tasks.settings import load_deploy_settings, load_settings
from tests.deployments.test_deploy_images import check_command, known_variable, services

PLACE = ROOT / "deployments" / "production" / "kubernetes"
OVERLAYS = ["base", "gpu", "kuberay"]
UID = 10001


@cache
def rendered(overlay: str) -> list[Any]:
    """All objects of an overlay; without kubectl those of its own files, as they are written."""
    if shutil.which("kubectl"):
        asked = ["kubectl", "kustomize", str(PLACE / overlay)]
        done = subprocess.run(asked, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))
    files = sorted((PLACE / overlay).glob("*.yaml"))
    written = [file for file in files if file.name != "kustomization.yaml"]
    return [one for file in written for one in yaml.safe_load_all(file.read_text("utf-8"))]


def pods(objects: list[Any]) -> Iterator[tuple[str, Any]]:
    """The name and the pod of every object that has some."""
    for one in objects:
        name, spec = one["metadata"]["name"], one.get("spec", {})
        if "template" in spec:
            yield name, spec["template"]["spec"]
        for group in [spec.get("headGroupSpec"), *spec.get("workerGroupSpecs", ())]:
            if group:
                yield name, group["template"]["spec"]


def containers(objects: list[Any]) -> Iterator[tuple[str, Any]]:
    for name, pod in pods(objects):
        for container in pod["containers"]:
            yield name, container


def of_kind(objects: list[Any], kind: str) -> dict[str, Any]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_file_is_listed(overlay: str) -> None:
    said = yaml.safe_load((PLACE / overlay / "kustomization.yaml").read_text("utf-8"))
    files = {file.name for file in (PLACE / overlay).glob("*.yaml")} - {"kustomization.yaml"}
    assert {name for name in said["resources"] if name.endswith(".yaml")} == files
    for name in said["resources"]:
        assert (PLACE / overlay / name).exists()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_commands_and_variables_are_those_of_the_code(overlay: str) -> None:
    objects = rendered(overlay)
    for name, container in containers(objects):
        assert container["image"].partition(":")[0] in ("muge-search", "postgres"), name
        if shutil.which("kubectl") and container["image"].startswith("muge-search"):
            assert container["image"] == "muge-search:COMMIT", name
        if "command" in container:
            check_command(container["command"])
        for variable in container.get("env", ()):
            assert known_variable(variable["name"]), variable
    for maps in of_kind(objects, "ConfigMap").values():
        assert [name for name in maps["data"] if not known_variable(name)] == []
        settings = {n[5:].lower(): v for n, v in maps["data"].items() if n.startswith("MUGE_")}
        given = {name: v for name, v in settings.items() if not name.startswith("deploy_")}
        load_settings(**given)
    assert [name for keys in secrets().values() for name in keys if not known_variable(name)] == []


def secrets() -> dict[str, set[str]]:
    """The keys of each secret, as people are shown them."""
    files = {"muge-search-server": "server.env.example", "muge-search": "secrets.env.example"}
    lines = {n: (PLACE / "base" / file).read_text("utf-8").split() for n, file in files.items()}
    return {name: {line.partition("=")[0] for line in said} for name, said in lines.items()}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_and_maps_that_are_named_are_there(overlay: str) -> None:
    keys = secrets()
    assert not keys["muge-search"] & keys["muge-search-server"]
    for name, container in containers(rendered(overlay)):
        for variable in container.get("env", ()):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference is not None:
                assert reference["key"] in keys[reference["name"]], name
                own = reference["name"] == "muge-search-server"
                assert not own or name in ("server", "postgres"), name
        for source in container.get("envFrom", ()):
            ((_, reference),) = source.items()
            assert reference["name"] == "muge-search", name


def test_the_server_keeps_and_forgets_as_that_of_compose_does() -> None:
    """Where its data base is, and its secrets, are of each kind's own."""
    (given,) = [c["env"] for n, c in containers(rendered("base")) if n == "server"]
    values = {variable["name"]: variable.get("value") for variable in given}
    for name, value in services()["server"]["environment"].items():
        assert name in values, name
        assert "${" in value or value == values[name], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_may_write_to_their_volumes_alone(overlay: str) -> None:
    for name, pod in pods(rendered(overlay)):
        (container,) = pod["containers"]
        if container["image"].startswith("muge-search") and name != "ray":
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"], name
            assert {"name": "tmp", "emptyDir": {}} in pod["volumes"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_bounded_probed_and_nobody(overlay: str) -> None:
    for name, pod in pods(rendered(overlay)):
        assert pod["automountServiceAccountToken"] is False, name
        (container,) = pod["containers"]
        assert "memory" in container["resources"]["limits"], name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        if container["image"].startswith("muge-search"):
            assert pod["securityContext"]["runAsUser"] == UID, name
            assert pod["enableServiceLinks"] is False, name
        if name not in ("deploy", "ray"):  # KubeRay probes its own
            assert "livenessProbe" in container, name
        ports = {port["name"] for port in container.get("ports", ())}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "httpGet" in container.get(probe, {}):
                assert container[probe]["httpGet"]["port"] in ports, name
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        claims = {mount["name"] for mount in container.get("volumeMounts", ())} - volumes
        owner = of_kind(rendered(overlay), "StatefulSet").get(name, {"spec": {}})
        templates = owner["spec"].get("volumeClaimTemplates", ())
        assert claims == {template["metadata"]["name"] for template in templates}, name


def test_services_lead_to_pods_by_ports_that_these_have() -> None:
    if not shutil.which("kubectl"):
        pytest.skip("without kubectl nothing renders the overlays")
    objects = rendered("base")
    owners = [one for one in objects if "template" in one.get("spec", {})]
    for name, service in of_kind(objects, "Service").items():
        selector = service["spec"]["selector"].items()
        led_to = [
            o for o in owners if selector <= o["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert led_to, name
        for owner in led_to:
            (container,) = owner["spec"]["template"]["spec"]["containers"]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            for port in service["spec"]["ports"]:
                assert ports[port["targetPort"]] == port["port"], name
    addresses = of_kind(objects, "ConfigMap")["muge-search"]["data"]
    assert addresses["PREFECT_API_URL"] == "http://server:4200/api"


def test_each_pool_has_a_worker_that_has_time_to_hand_its_runs_on() -> None:
    workers = {n: p for n, p in pods(rendered("base")) if n.startswith("worker-")}
    pools = set(read_definitions(load_settings(), load_deploy_settings()).work_pools)
    assert {name.removeprefix("worker-") for name in workers} == pools
    for name, pod in workers.items():
        said = pod["containers"][0]["command"]
        assert said[said.index("--pool") + 1] == name.removeprefix("worker-")
        port = int(said[said.index("--health-port") + 1])
        assert pod["containers"][0]["ports"] == [{"name": "health", "containerPort": port}]
        assert pod["terminationGracePeriodSeconds"] > HANDING_SECONDS + STOPPING_SECONDS


def test_overlays_add_a_gpu_and_a_ray_cluster() -> None:
    if not shutil.which("kubectl"):
        pytest.skip("without kubectl nothing renders the overlays")
    limits = {n: c["resources"]["limits"] for n, c in containers(rendered("gpu"))}
    assert limits["worker-gpu"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in limits["worker-cpu"]
    kuberay = rendered("kuberay")
    data = of_kind(kuberay, "ConfigMap")["muge-search"]["data"]
    (cluster,) = of_kind(kuberay, "RayCluster").values()
    assert (data["MUGE_RUNNER"], cluster["metadata"]["name"]) == ("ray", "ray")
    assert data["RAY_ADDRESS"] == "ray-head-svc:6379"  # as the operator names the head's service
    (policy,) = of_kind(kuberay, "NetworkPolicy").values()
    assert policy["spec"]["podSelector"] == {"matchLabels": {"ray.io/cluster": "ray"}}
    for name, container in containers([cluster]):
        variables = {variable["name"] for variable in container["env"]}
        assert not any(v.startswith("DASHVECTOR_") for v in variables), name


@pytest.mark.slow
def test_files_are_as_published_schemas_want_them() -> None:
    if not shutil.which("kubectl"):
        pytest.skip("without kubectl nothing renders the overlays")
    done = subprocess.run([ROOT / ".ci" / "manifests"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    unknown = [line for line in done.stdout.splitlines() if line.startswith("WARN")]
    assert all("RayCluster" in line for line in unknown)
