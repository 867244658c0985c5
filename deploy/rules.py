"""The rules of our manifests: rules.py COMPOSE DOCKERFILE PROGRAM MANIFEST… (PROGRAM may be empty).

Each rule is a function over one rendered file's documents that yields what is wrong. Before they are trusted, each is
held against manifests broken on purpose: a rule that finds nothing there fails the check.
"""

import copy
import os
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

KUBERNETES = ["1.27", "1.37"]  # the oldest and the newest we support
SECRET_WORD = re.compile(r"password|passwd|secret|token|api_?key|://[^/\s:@]+:[^@\s]+@", re.I)
GRPC = {
    name: f"perennial.{name}.v1.{name.capitalize()}Service"
    for name in ["ingestion", "scoring", "segmentation", "campaign", "loyalty", "notification"]
}


def of_kind(documents, *kinds):
    return [it for it in documents if it["kind"] in kinds]


def pods(documents):
    """Every workload's title and pod specification."""
    for it in of_kind(documents, "Deployment", "StatefulSet", "DaemonSet", "Job"):
        yield f"{it['kind']}/{it['metadata']['name']}", it["spec"]["template"]["spec"]


def containers(documents):
    for title, pod in pods(documents):
        for container in pod.get("initContainers", []) + pod["containers"]:
            yield title, pod, container


def settings(documents):
    """The configuration file and the variables of the ConfigMaps, by kind of name."""
    maps = {it["metadata"]["name"]: it.get("data", {}) for it in of_kind(documents, "ConfigMap")}
    toml = next((data["perennial.toml"] for data in maps.values() if "perennial.toml" in data), "")
    return maps, toml


def seconds(toml, name):
    found = re.search(rf'^{name} = "(\d+)s"', toml, re.M)
    return int(found.group(1)) if found else None


# --- rules ------------------------------------------------------------------------------------------------------------


def schema(documents):
    for document in documents:
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                yield f"{document['kind']}/{document['metadata']['name']} on {version}: {error.message}"


def rights(documents):
    for title, pod, container in containers(documents):
        of_pod, own = pod.get("securityContext", {}), container.get("securityContext", {})
        if not own.get("runAsNonRoot", of_pod.get("runAsNonRoot")) or not own.get("runAsUser", of_pod.get("runAsUser")):
            yield f"{title}: runs as root"
        if of_pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{title}: no seccomp profile"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{title}: its root file system is writable"
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{title}: may gain privileges"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{title}: keeps capabilities"
    for title, pod in pods(documents):
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{title}: mounts a token of its service account"
        if pod.get("serviceAccountName") not in {it["metadata"]["name"] for it in of_kind(documents, "ServiceAccount")}:
            yield f"{title}: has no service account of its own"
        if pod.get("enableServiceLinks") is not False:
            yield f"{title}: gets variables of Services (enableServiceLinks), which stop the start if named PERENNIAL_…"
        if any("hostPath" in it for it in pod.get("volumes", [])) or pod.get("hostNetwork") or pod.get("hostPID"):
            yield f"{title}: reaches into its node"


def secrets(documents):
    for it in of_kind(documents, "Secret"):
        yield f"Secret/{it['metadata']['name']}: secrets are referred to, never written down"
    for title, _, container in containers(documents):
        for variable in container.get("env", []):
            value = str(variable.get("value", ""))
            if value and (SECRET_WORD.search(variable["name"]) or SECRET_WORD.search(value)):
                yield f"{title}: {variable['name']} is written down"
    for it in of_kind(documents, "ConfigMap"):
        for key, text in it.get("data", {}).items():
            for line in [key + "=" + text] if key.isupper() else text.splitlines():
                if not line.lstrip().startswith("#") and SECRET_WORD.search(line):
                    yield f"ConfigMap/{it['metadata']['name']}: {line.split('=')[0].strip()} looks like a secret"


def images(documents):
    for title, _, container in containers(documents):
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest") and "@sha256:" not in container["image"]:
            yield f"{title}: {container['image']} names no version"


def probes(documents):
    for it in of_kind(documents, "Deployment"):
        title, pod = f"Deployment/{it['metadata']['name']}", it["spec"]["template"]["spec"]
        for container in pod["containers"]:
            runs = container.get("args", [])[1:] or ["ingestion"]
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
                if container.get(probe, {}).get("grpc", {}).get("port") != 50051:
                    yield f"{title}: no {probe} over gRPC"
            if container.get("livenessProbe", {}).get("grpc", {}).get("service"):
                yield f"{title}: liveness asks for one service, not for the process"
            ready = container.get("readinessProbe", {}).get("grpc", {}).get("service")
            if ready != GRPC.get(runs[0]):
                yield f"{title}: readiness asks for {ready}, but it serves {GRPC.get(runs[0])}"


def room(documents):
    for title, _, container in containers(documents):
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
            yield f"{title}: needs requests for cpu and memory, and a limit for memory"


def draining(documents):
    _, toml = settings(documents)
    parts = [seconds(toml, it) for it in ["drain_delay", "drain_timeout", "stop_timeout"]]
    for it in of_kind(documents, "Deployment"):
        patience = it["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
        if None in parts or patience <= sum(parts):
            yield f"Deployment/{it['metadata']['name']}: {patience} s are too short to drain in ({parts})"


def replicas(documents):
    maps, _ = settings(documents)
    least = {it["spec"]["scaleTargetRef"]["name"]: it["spec"]["minReplicas"] for it in of_kind(documents, "HorizontalPodAutoscaler")}
    for it in of_kind(documents, "Deployment"):
        name, spec = it["metadata"]["name"], it["spec"]
        if name in least and "replicas" in spec:
            yield f"Deployment/{name}: has an autoscaler and a number of replicas"
        run = least.get(name, spec.get("replicas", 1))
        container = spec["template"]["spec"]["containers"][0]
        referred = [maps.get(it["configMapRef"]["name"], {}) for it in container.get("envFrom", [])]
        told = int(next((data["PERENNIAL_REPLICAS"] for data in referred if "PERENNIAL_REPLICAS" in data), "1"))
        if run != told:
            yield f"Deployment/{name}: runs {run} replicas, but is told of {told} (PERENNIAL_REPLICAS)"
        if run == 1 and spec.get("strategy", {}).get("type") != "Recreate":
            yield f"Deployment/{name}: one replica, but a rollout would run two (strategy)"
        budgets = [it["spec"]["selector"]["matchLabels"] for it in of_kind(documents, "PodDisruptionBudget")]
        if spec["selector"]["matchLabels"] not in budgets:
            yield f"Deployment/{name}: no PodDisruptionBudget"


def network(documents):
    policies = of_kind(documents, "NetworkPolicy")
    if not of_kind(documents, "Deployment"):
        return
    closed = [it for it in policies if not it["spec"]["podSelector"] and {"Ingress", "Egress"} <= set(it["spec"].get("policyTypes", []))
              and "ingress" not in it["spec"] and "egress" not in it["spec"]]
    if not closed:
        yield "no NetworkPolicy denies by default"
    for it in policies:
        for rule in it["spec"].get("ingress", []):
            if not rule.get("from") or not rule.get("ports"):
                yield f"NetworkPolicy/{it['metadata']['name']}: lets anybody in"

    def named(policy, direction, side):
        for rule in policy["spec"].get(direction, []):
            for peer in rule.get(side, []):
                for expression in peer.get("podSelector", {}).get("matchExpressions", []):
                    yield from expression["values"]

    by_name = {it["metadata"]["name"]: it for it in policies}
    calls = {(caller, peer) for caller, it in by_name.items() for peer in named(it, "egress", "to")}
    called = {(caller, peer) for peer, it in by_name.items() for caller in named(it, "ingress", "from")}
    for caller, peer in sorted(calls ^ called):
        yield f"NetworkPolicy: {caller} → {peer} is allowed at one end only"
    for it in of_kind(documents, "Deployment"):
        if it["metadata"]["name"] not in by_name:
            yield f"Deployment/{it['metadata']['name']}: no NetworkPolicy lets anybody reach it"


def addresses(documents):
    _, toml = settings(documents)
    names = {it["metadata"]["name"]: it for it in of_kind(documents, "Service")}
    if not all(it in names for it in GRPC):
        return  # One process: nobody is called over the network.
    for name in GRPC:
        if f'{name} = "http://{name}:50051"' not in toml:
            yield f"perennial.toml: [peers] does not say where {name} is"
        if names[name]["spec"].get("clusterIP") != "None":
            yield f"Service/{name}: is not headless, so callers would stay with one replica"


RULES = [schema, rights, secrets, images, probes, room, draining, replicas, network, addresses]

# --- rules that must bite ----------------------------------------------------------------------------------------------


def first(documents, kind, name=None):
    return next(it for it in documents if it["kind"] == kind and name in (None, it["metadata"]["name"]))


def pod(documents):
    return first(documents, "Deployment")["spec"]["template"]["spec"]


def container(documents):
    return pod(documents)["containers"][0]


def config(documents):
    return next(it["data"] for it in documents if "perennial.toml" in it.get("data", {}))


BROKEN = [
    (schema, lambda d: first(d, "Deployment")["spec"].update(replica=3)),
    (schema, lambda d: container(d).update(ports=[{"containerPort": "fifty"}])),
    (rights, lambda d: pod(d)["securityContext"].pop("runAsNonRoot")),
    (rights, lambda d: pod(d)["securityContext"].update(runAsUser=0)),
    (rights, lambda d: container(d)["securityContext"].update(readOnlyRootFilesystem=False)),
    (rights, lambda d: container(d)["securityContext"].pop("capabilities")),
    (rights, lambda d: pod(d).pop("automountServiceAccountToken")),
    (rights, lambda d: pod(d).update(enableServiceLinks=True)),
    (rights, lambda d: pod(d).update(volumes=[{"name": "all", "hostPath": {"path": "/"}}])),
    (secrets, lambda d: container(d)["env"].append({"name": "PERENNIAL_SERVER__TOKEN", "value": "abc"})),
    (secrets, lambda d: container(d)["env"].append({"name": "URL", "value": "postgres://ana:pw@db/perennial"})),
    (secrets, lambda d: config(d).update({"perennial.toml": 'url = "redis://ana:pw@redis:6379"'})),
    (secrets, lambda d: d.append({"kind": "Secret", "metadata": {"name": "s"}})),
    (images, lambda d: container(d).update(image="perennial:latest")),
    (images, lambda d: container(d).update(image="registry.example:5000/perennial")),
    (probes, lambda d: container(d).pop("livenessProbe")),
    (probes, lambda d: container(d)["readinessProbe"]["grpc"].update(service="perennial.scorin.v1.ScoringService")),
    (room, lambda d: container(d).pop("resources")),
    (draining, lambda d: pod(d).update(terminationGracePeriodSeconds=50)),
    (replicas, lambda d: first(d, "Deployment")["spec"].update(replicas=7)),
    (replicas, lambda d: d.remove(first(d, "PodDisruptionBudget"))),
    (network, lambda d: d.remove(first(d, "NetworkPolicy", "default-deny"))),
    (network, lambda d: first(d, "NetworkPolicy", "campaign")["spec"].pop("egress")),
    (network, lambda d: first(d, "NetworkPolicy", "campaign")["spec"]["ingress"].append({"ports": [{"port": 50051}]})),
    (addresses, lambda d: config(d).update({"perennial.toml": ""})),
    (addresses, lambda d: first(d, "Service", "scoring")["spec"].pop("clusterIP")),
]


def toothless(documents):
    """Rules that do not see what was broken on purpose."""
    for number, (rule, break_it) in enumerate(BROKEN):
        broken = copy.deepcopy(documents)
        break_it(broken)
        if not list(rule(broken)):
            yield f"the rule {rule.__name__!r} does not see what BROKEN[{number}] breaks"
    for rule in RULES:
        if rule not in [it for it, _ in BROKEN]:
            yield f"the rule {rule.__name__!r} is never held against anything broken"


# --- compose, Dockerfile, settings --------------------------------------------------------------------------------------


def compose(text):
    file = yaml.safe_load(text)
    for name, it in file["services"].items():
        tag = it["image"].rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            yield f"compose: {name}: {it['image']} names no version"
        if not it.get("read_only") or it.get("cap_drop") != ["ALL"] or it.get("privileged"):
            yield f"compose: {name}: needs read_only and cap_drop: [ALL]"
        if "healthcheck" not in it and name not in ("migrate", "cli"):
            yield f"compose: {name}: no healthcheck"
        for key, value in it.get("environment", {}).items():
            if SECRET_WORD.search(f"{key}={value}") and not key.endswith("_FILE"):
                yield f"compose: {name}: {key} is written down"
        for port in it.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"compose: {name}: {port} is open to the world"
        if it.get("command", [None])[0] == "serve" and it["command"] != ["serve", name]:
            yield f"compose: {name}: serves {it['command']}"
    for name in set(GRPC) - file["services"].keys():
        yield f"compose: {name} is missing"


def dockerfile(text):
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)", text, re.M))
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", text, re.M))
    for image in re.findall(r"^FROM (\S+)", text, re.M):
        image = re.sub(r"\$\{(\w+)\}", lambda it: arguments.get(it.group(1), ""), image)
        if image not in stages and not re.search(r":\d+\.\d+", image):
            yield f"Dockerfile: {image} names no version"
    if not re.search(r"^USER [1-9]", text, re.M):
        yield "Dockerfile: runs as root"
    for line in re.findall(r"^RUN cargo (?:build|chef cook|install).*", text, re.M):
        if "--locked" not in line:
            yield f"Dockerfile: {line!r} is not --locked"


def understood(program, file, documents):
    """Every pod's settings, read by the program itself: a name nobody knows is an error."""
    maps, toml = settings(documents)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "perennial.toml")
        with open(path, "w") as out:
            out.write(toml)
        for title, _, container in containers(documents):
            variables = {it["name"]: it.get("value", "postgres://nobody@nowhere/none") for it in container.get("env", [])}
            for source in container.get("envFrom", []):
                variables.update(maps.get(source["configMapRef"]["name"], {}))
            yield from refused(program, f"{file}: {title}", {**variables, "PERENNIAL_CONFIG": path})


def refused(program, title, variables):
    run = subprocess.run([program, "config"], env={str(k): str(v) for k, v in variables.items()}, capture_output=True, text=True, check=False)
    if run.returncode != 0 or "[ingestion.database]" not in run.stdout:
        yield f"{title}: {run.stderr.strip() or 'the program printed no settings'}"


def main(compose_path, dockerfile_path, program, *paths):
    wrong = []
    with open(compose_path) as text:
        composed = text.read()
    with open(dockerfile_path) as text:
        image = text.read()
    wrong += compose(composed)
    wrong += dockerfile(image)
    wrong += [f"the rule 'compose' does not see a {it}" for it, broken in [
        ("floating tag", composed.replace("redis:8.2.3-bookworm", "redis:latest")),
        ("writable root", composed.replace("read_only: true", "read_only: false")),
        ("password", composed.replace("postgres://perennial@", "postgres://perennial:pw@")),
        ("missing healthcheck", composed.replace("healthcheck:", "x-healthcheck:")),
        ("port open to the world", composed.replace("127.0.0.1:8080:8080", "8080:8080")),
    ] if not list(compose(broken))]
    wrong += [f"the rule 'dockerfile' does not see a {it}" for it, broken in [
        ("floating tag", re.sub(r"^ARG DEBIAN=.*", "ARG DEBIAN=latest", image, flags=re.M)),
        ("root", image.replace("USER 10001", "USER 0")),
        ("build that is not locked", image.replace(" --locked", "")),
    ] if not list(dockerfile(broken))]
    count = 0
    for path in paths:
        with open(path) as text:
            documents = [it for it in yaml.safe_load_all(text) if it]
        name = os.path.basename(path).removesuffix(".yaml")
        count += len(documents)
        for rule in RULES:
            wrong += [f"{name}: {it}" for it in rule(documents)]
        if program:
            wrong += understood(program, name, documents)
        if name == "base":
            wrong += toothless(documents)
            if program:
                lost = {"PERENNIAL_SCORNG__TIME_ZONE": "UTC"}
                wrong += [] if list(refused(program, "", lost)) else ["the program does not see a misspelt setting"]
    if program:
        for name, it in yaml.safe_load(composed)["services"].items():
            own = {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for key, value in it.get("environment", {}).items()}
            if name in GRPC:
                wrong += refused(program, f"compose: {name}", own)
    for line in wrong:
        print(f"  {line}", file=sys.stderr)
    if wrong:
        sys.exit(f"manifests: {len(wrong)} wrong")
    tried = f"settings tried on {program}" if program else "settings NOT tried, since no perennial is built"
    print(f"manifests: {count} documents of {len(paths)} kustomizations, compose and Dockerfile are right; "
          f"{len(RULES)} rules bite; {tried}")


if __name__ == "__main__":
    main(*sys.argv[1:])
