#!/usr/bin/env python3
"""Checks the number of packages in the default build, and the crates whose types are in the public API."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Public types come from these, and from std.
PUBLIC = {"bytes", "http", "http_body", "serde_json", "tower_layer", "tower_service"}
# And these, for one reason each.
REASONS = {
    "axum_core": (
        ("axum_core::extract::", "axum_core::response::"),
        "the extractors and the rejection of the feature `axum` implement axum's traits",
    ),
    "hyper_util": ("hyper_util::client::legacy::connect::", "the connector of Transport::hyper can be wrapped"),
    "http_body_util": ("http_body_util::full::Full", "the bodies of a login's requests"),
    "tower": (("tower::retry::policy::Policy", "tower::BoxError"), "the policies and the error type are tower's"),
    "tower_http": ("tower_http::follow_redirect::policy::", "RedirectPolicy is a policy of tower-http's"),
}
STD = {"alloc", "core", "std"}


def cargo(*arguments: str, **environment: str) -> str:
    command = ["cargo", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


# The numbers of packages in the README, each with the features that it is about.
PACKAGES = {
    "": r"It has (\d+) packages",
    "config": r"With `config` there are (\d+)",
    "rustls": r"with `rustls` (\d+)",
    "config,rustls": r"with both (\d+)",
    "validate": r"With `validate` there are (\d+)",
    "axum": r"With `axum` there are (\d+)",
    "store": r"With `store` there are (\d+)",
    "memcached": r"with `memcached` (\d+)",
    "redis": r"with `redis` (\d+)",
    "federation": r"With `federation` there are (\d+)",
    "browser": r"with `browser` (\d+)",
    "saml": r"with `saml` (\d+)",
}


def packages() -> list[str]:
    """Compares the numbers of packages in the README with those that are built."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    wrong = []
    for features, pattern in PACKAGES.items():
        tree = cargo("tree", "--locked", "--edges", "normal", "--prefix", "none", "--features", features)
        built = len({line.removesuffix(" (*)") for line in tree.splitlines() if line})
        told = re.search(pattern, readme)
        if told is None or int(told[1]) != built:
            wrong.append(f"{built} packages are built with {features or 'no feature'}; the README says {told and told[1]}")
        else:
            print(f"{built} packages are built with {features or 'no feature'}")
    return wrong


def referred(value: object) -> set[int]:
    """Returns the ids of all types and traits in a part of rustdoc's JSON."""
    ids = set()
    if isinstance(value, dict):
        if "path" in value and "id" in value:
            ids.add(value["id"])
        for part in value.values():
            ids |= referred(part)
    elif isinstance(value, list):
        for part in value:
            ids |= referred(part)
    return ids


def public_types() -> list[str]:
    """Checks that the types and traits in the public API come from the crates above."""
    # The format is not stable; the variable lets a stable rustdoc write it.
    options = ("--all-features", "--", "-Z", "unstable-options", "--output-format", "json")
    cargo("rustdoc", "--locked", "--quiet", "--lib", *options, RUSTC_BOOTSTRAP="1")
    target = Path(json.loads(cargo("metadata", "--format-version", "1", "--no-deps"))["target_directory"])
    document = json.loads((target / "doc" / "tower_keystone.json").read_text())
    crates = {int(crate): about["name"] for crate, about in document["external_crates"].items()}

    index = document["index"]
    automatic = set()
    for key, item in index.items():
        implementation = item["inner"].get("impl", {})
        if implementation.get("blanket_impl") or implementation.get("is_synthetic"):
            automatic |= {key, *map(str, implementation["items"])}

    used: dict[str, set[str]] = {}
    for key, item in index.items():
        if key in automatic:
            continue
        for referred_to in referred(item["inner"]):
            about = document["paths"].get(str(referred_to))
            if about is not None and about["crate_id"] != 0 and "__private" not in about["path"]:
                used.setdefault(crates[about["crate_id"]], set()).add("::".join(about["path"]))

    wrong = []
    for crate, types in sorted(used.items()):
        if crate in STD | PUBLIC:
            continue
        prefix, _ = REASONS.get(crate, (None, None))
        wrong += [f"{name} is in the public API" for name in sorted(types) if not prefix or not name.startswith(prefix)]
    missing = sorted((PUBLIC | REASONS.keys()) - used.keys())
    wrong += [f"nothing of {crate} is in the public API, and it is listed here" for crate in missing]
    if not wrong:
        print(f"the public API has types of {', '.join(sorted(used.keys() - STD))} and std")
    return wrong


def main() -> int:
    wrong = packages() + public_types()
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
