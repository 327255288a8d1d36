"""Whether the Kubernetes manifests and the Prometheus configuration agree with each other.

    agree.py KUBERNETES_FOLDER PROMETHEUS_FILE VERSION JOB_FILE

Tells every fault and exits with 1, or writes the job that the manifests hold to JOB_FILE.
"""
import pathlib
import re
import sys

import yaml

folder, prometheus, version, job_file = sys.argv[1:]
things = {}
for path in sorted(pathlib.Path(folder).glob("*.yaml")):
    for thing in yaml.safe_load_all(path.read_text()):
        things[thing["kind"]] = thing
faults = []


def expect(holds, what):
    if not holds:
        faults.append(what)


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


service = things["Service"]
config = things["ConfigMap"]
stateful = things["StatefulSet"]
job = things["Job"]
hosts = [line.split("#")[0].strip() for line in config["data"]["hosts"].splitlines()]
hosts = [line for line in hosts if line]
ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}

# The names of the pods, in order.
for kind, thing, count in [("StatefulSet", stateful, stateful["spec"]["replicas"]), ("Job", job, job["spec"]["completions"])]:
    name = thing["metadata"]["name"]
    named = [f"{name}-{index}.{service['metadata']['name']}:{ports['peers']}" for index in range(count)]
    expect(hosts == named, f"{kind}: the host file has {hosts}, the pods are {named}")
expect(service["spec"]["clusterIP"] == "None", "Service: it is not headless")
expect(service["spec"]["publishNotReadyAddresses"], "Service: pods that wait for each other have no names")
expect(stateful["spec"]["serviceName"] == service["metadata"]["name"], "StatefulSet: serviceName")
expect(stateful["spec"]["podManagementPolicy"] == "Parallel", "StatefulSet: pods wait for each other and are started one by one")
expect(job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"], "Job: subdomain")
expect(job["spec"]["completionMode"] == "Indexed", "Job: pods have no index")
expect(job["spec"]["parallelism"] == job["spec"]["completions"], "Job: pods wait for each other and don't run together")

indices = {"StatefulSet": "apps.kubernetes.io/pod-index", "Job": "batch.kubernetes.io/job-completion-index"}
for kind in ["StatefulSet", "Job"]:
    template = things[kind]["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    (container,) = pod["containers"]
    words = container["args"]
    option = dict(zip(words[2:], words[3:]))
    for selected in ["Service", "NetworkPolicy"]:
        spec = things[selected]["spec"]
        selector = spec["selector"] if selected == "Service" else spec["podSelector"]["matchLabels"]
        expect(selects(selector, labels), f"{selected}: it does not select the pods of {kind}")
    # The process.
    expect(words[0] == "run" and option["-n"] == str(len(hosts)), f"{kind}: -n is not the number of hosts")
    expect(option["-p"] == "$(CAUDAL_PROCESS)", f"{kind}: -p")
    env = {variable["name"]: variable.get("valueFrom") for variable in container["env"]}
    path = env["CAUDAL_PROCESS"]["fieldRef"]["fieldPath"]
    expect(path == f"metadata.labels['{indices[kind]}']", f"{kind}: the index is {path}")
    for secret in ["CAUDAL_TOKEN", "CAUDAL_STATUS_TOKEN"]:
        expect("secretKeyRef" in (env.get(secret) or {}), f"{kind}: {secret} is not from a secret")
    expect(not any("TOKEN" in word for word in words), f"{kind}: a secret is a word")
    # Ports and probes.
    own = {port["name"]: port["containerPort"] for port in container["ports"]}
    expect(own == ports, f"{kind}: its ports are {own}, the service's {ports}")
    expect(option["--status"].endswith(f":{own['status']}"), f"{kind}: --status")
    for probe, path in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]:
        expect(container[probe]["httpGet"] == {"path": path, "port": "status"}, f"{kind}: {probe}")
    # What it may.
    expect(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, f"{kind}: it runs as root")
    expect(container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}, f"{kind}: its privileges")
    expect(pod["automountServiceAccountToken"] is False, f"{kind}: it holds a token of the cluster's API")
    expect(container["image"].endswith(f":{version}"), f"{kind}: the image is not of version {version}")
    expect({"cpu", "memory"} <= set(container["resources"]["requests"]) and "memory" in container["resources"]["limits"], f"{kind}: its resources")
    expect(option["-w"] == container["resources"]["requests"]["cpu"], f"{kind}: as many CPUs as workers")
    # What it mounts.
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    expect(volumes["config"]["configMap"]["name"] == config["metadata"]["name"], f"{kind}: its ConfigMap")
    claim = things["PersistentVolumeClaim"]
    expect(volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"], f"{kind}: its claim")
    expect(claim["spec"]["accessModes"] == ["ReadWriteMany"], "PersistentVolumeClaim: pods on several nodes can't share it")
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    expect(writable == ["/srv/caudal/out"], f"{kind}: it can write to {writable}")
    expect(f'output = "{writable[0]}/' in config["data"]["job.toml"], "ConfigMap: the job's output is no place that can be written to")
    for file in [words[1], option["-h"]]:
        folder, name = file.rsplit("/", 1)
        mounted = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == folder]
        expect(mounted == ["config"] and name in config["data"], f"{kind}: {file} is not in the ConfigMap")

labels = stateful["spec"]["template"]["metadata"]["labels"]
expect(selects(stateful["spec"]["selector"]["matchLabels"], labels), "StatefulSet: it does not select its pods")
expect(selects(things["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], labels), "PodDisruptionBudget: it selects nothing")
codes = [rule["onExitCodes"]["values"] for rule in job["spec"]["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
expect(codes == [[1, 2]], f"Job: it is over after {codes}")

# Metrics: the operator's schema is not at hand, so what is used of it is compared.
monitor = things["ServiceMonitor"]
expect(monitor["apiVersion"] == "monitoring.coreos.com/v1" and set(monitor["spec"]) == {"selector", "endpoints"}, "ServiceMonitor: its fields")
expect(selects(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"]), "ServiceMonitor: it does not select the service")
(endpoint,) = monitor["spec"]["endpoints"]
expect(set(endpoint) == {"port", "path", "interval", "scrapeTimeout", "authorization"}, f"ServiceMonitor: {set(endpoint)}")
expect(endpoint["port"] in ports and endpoint["path"] == "/metrics", "ServiceMonitor: its endpoint")
(scrape,) = yaml.safe_load(pathlib.Path(prometheus).read_text())["scrape_configs"]
expect(scrape["metrics_path"] == "/metrics" and scrape["authorization"]["type"] == "Bearer", "prometheus.yml: its path and token")
targets = scrape["static_configs"][0]["targets"]
example = (pathlib.Path(prometheus).parent / "hosts.example").read_text()
named = re.findall(r"^([^#\s:]+):\d+", example, re.MULTILINE)
expect(targets == [f"{host}:{ports['status']}" for host in named], f"prometheus.yml: its targets are not the hosts of hosts.example: {targets}")

if faults:
    sys.exit("\n".join(faults))
pathlib.Path(job_file).write_text(config["data"]["job.toml"])
