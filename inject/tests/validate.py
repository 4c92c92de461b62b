"""Validates every document on standard input as several versions of Kubernetes do, strictly: no field that they do not know.

With `patch REVIEW` it takes an AdmissionReview's answer on standard input, patches the pod of REVIEW by a library that nobody here
wrote, and validates that. Prints how much it has validated.
"""
import base64
import json
import sys

import jsonpatch
import kubernetes_validate
import yaml

VERSIONS = ["1.29", "1.31", "1.33", "1.35", "1.37"]

if sys.argv[1:2] == ["patch"]:
    with open(sys.argv[2]) as file:
        request = json.load(file)["request"]
    response = json.load(sys.stdin)["response"]
    assert response["uid"] == request["uid"] and response["allowed"], response
    documents = [jsonpatch.apply_patch(request["object"], json.loads(base64.b64decode(response["patch"])))]
    assert any(container["name"] == "adumbra" for container in documents[0]["spec"]["initContainers"])
else:
    documents = [document for document in yaml.safe_load_all(sys.stdin) if document]

validated = 0
for document in documents:
    for item in document["items"] if document["kind"] == "List" else [document]:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                sys.exit(f"{item['kind']} {item['metadata'].get('name')}, Kubernetes {version}: {error}")
            validated += 1
print(validated)
