"""Exports projects with a given binary and validates every object. Called by `validate`, which says what for."""

import csv
import glob
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import kubernetes_validate
import yaml

VERSIONS = ["1.25", "1.37"]

# Kinds that a cluster knows only once somebody has installed them: the validator has no schema of them.
INSTALLED = {"HTTPRoute", "ExternalSecret", "SealedSecret"}


class Strict(yaml.SafeLoader):
    """Reads a key once."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        doubles = {key for key in keys if keys.count(key) > 1}
        if doubles:
            raise yaml.YAMLError(f"keys that are there twice: {doubles}")
        return super().construct_mapping(node, deep)


def faults(name, text):
    """What is wrong with a stream of objects, and how many there are."""
    found = []
    objects = [each for each in yaml.load_all(text, Loader=Strict) if each is not None]
    for each in objects:
        if each["kind"] in INSTALLED:
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except Exception as error:  # whatever it says is a fault
                path = "/".join(str(part) for part in getattr(error, "path", []))
                message = getattr(error, "message", str(error))[:200]
                found.append(f"{name}: {version} {each['kind']} {each['metadata'].get('name')}: {path}: {message}")
    return found, len(objects)


def exported(hoist, manifest, variables, more=()):
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", **variables}
    command = [hoist, "-f", manifest, "--profile", "*", "export", "kubernetes", "--stdout", *more]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def real_projects(corpus):
    """The manifests of the corpus that docker compose loads, with the variables that they need."""
    index = os.path.join(corpus, "real-index.tsv")
    if not os.path.exists(index):
        print("SKIPPED: there is no corpus beside the project and HOIST_CORPUS is not set")
        return
    with open(index, newline="") as file:
        for row in csv.reader(file, delimiter="\t"):
            name, path = row[0], row[1]
            needed = os.path.join(corpus, "real-expected", name + ".env")
            manifest = os.path.join(corpus, "real", path)
            if not os.path.exists(manifest):
                continue
            variables = {}
            if os.path.exists(needed):
                with open(needed) as lines:
                    variables = dict(line.rstrip("\n").split("=", 1) for line in lines if "=" in line)
            yield name, manifest, variables


def main():
    hoist, corpus = sys.argv[1:]
    wrong, objects, without, loaded = [], 0, [], 0
    for path in sorted(glob.glob("tests/export/cases/*/objects.yaml")):
        with open(path) as file:
            found, count = faults(path, file.read())
        wrong += found
        objects += count
    flags = [[], ["--network-policies", "--service-type", "LoadBalancer", "--namespace", "x", "--secrets", "values"]]
    jobs = [(name, os.path.join("examples", name, "compose.yaml"), {}) for name in ("shop", "ledger")]
    jobs += list(real_projects(corpus))

    def one(job):
        name, manifest, variables = job
        return [(name, exported(hoist, manifest, variables, more)) for more in flags]

    with ThreadPoolExecutor(2) as pool:
        for results in pool.map(one, jobs):
            for name, result in results:
                if result.returncode != 0:
                    reason = (result.stderr.strip().splitlines() or ["?"])[-1]
                    if "a cluster would refuse" in result.stderr:
                        wrong.append(f"{name}: {result.stderr[-800:]}")
                    without.append(f"{name}: {reason}")
                    continue
                loaded += 1
                found, count = faults(name, result.stdout)
                wrong += found
                objects += count
    for line in sorted(set(without)):
        print(f"not exported: {line}")
    for line in wrong:
        print(line)
    print(f"{loaded} exports, {objects} objects, versions {' and '.join(VERSIONS)}: {len(wrong)} rejected")
    sys.exit(1 if wrong else 0)


main()
