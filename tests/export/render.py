"""Renders a chart with Helm's own library and compares it with objects, or says what the chart makes of other values.

    python render.py CHART OBJECTS     the objects of a chart as it is are those of the stream OBJECTS
    python render.py CHART - VALUES    prints the objects that the chart gives for the values (JSON)

Exit code 1 and a message when it is not so.
"""

import json
import sys

import helm_python as helm
import yaml

KINDS = {"Namespace"}
MARKS = {"tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"}


class Loader(yaml.SafeLoader):
    """Takes `=` and `<<` for text, as Kubernetes does, and not for the default value of a map and a merge."""


Loader.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0] not in MARKS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def documents(text):
    return [document for document in yaml.load_all(text, Loader) if document]


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def by_name(objects):
    named = {}
    for item in objects:
        key = (item["kind"], item["metadata"]["name"])
        if key in named:
            sys.exit(f"twice: {key}")
        named[key] = without_nulls(item)
    return named


def main():
    folder, objects = sys.argv[1:3]
    values = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    with helm.Chart.load(folder) as chart:
        try:
            chart.validate_schema(values)
            rendered = chart.render(values, name="release", namespace="place")
        except helm.HelmError as error:
            sys.exit(f"refused: {error}")
    made = by_name(item for text in rendered.values() for item in documents(text))
    if objects == "-":
        print(json.dumps([item for _, item in sorted(made.items())]))
        return
    with open(objects, encoding="utf-8") as file:
        wanted = by_name(item for item in documents(file.read()) if item["kind"] not in KINDS)
    for key in sorted(set(made) | set(wanted)):
        if made.get(key) != wanted.get(key):
            sys.exit(f"{key}:\nchart:  {json.dumps(made.get(key), sort_keys=True)}\nplain:  {json.dumps(wanted.get(key), sort_keys=True)}")
    print(len(made))


main()
