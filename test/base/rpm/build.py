#!/usr/bin/env python3
"""build.py DEBS OUT makes RPMs of the Debian packages in DEBS/base and DEBS/extra, and of what is
written by hand, into the repositories OUT/base (what images are made of) and OUT/extra."""
import hashlib
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import adapt
import debian
import local
from package import Package

DIST = "azl3"
IN_EXTRA = {"dnf", "grub2", "grub2-efi", "grub2-efi-binary-noprefix", "grub2-pc", "libefiboot1"}  # no image has them


def finish(package: Package):
    package.add_own_files()
    adapt.apply(package)
    package.scripts = adapt.systemd_units(package)


def from_debian(debs, names, work) -> list[Package]:
    packages = debian.packages(debs, names, work, DIST)
    for package in packages:
        finish(package)
    by_name = {package.name: package for package in packages}
    if "grub2" in by_name:
        packages += adapt.split_grub(by_name["grub2"], by_name["grub2-efi"], work)
    return packages


def update_of(name: str, debs, names, work) -> Package:
    """The same package again, with a higher release."""
    return next(p for p in from_debian([d for d in debs if d.name == name], names, work / "update"))


def all_packages(folder: Path, work: Path) -> dict[str, list[Package]]:
    base, extra = debian.read(folder / "base"), debian.read(folder / "extra")
    names = debian.Names(base + extra)
    packages = {"base": from_debian(base, names, work), "extra": from_debian(extra, names, work)}
    update = update_of("less", base, names, work)
    update.release = f"99.{DIST}"
    for where, by_hand in (("base", local.base(work)), ("extra", local.extra(work))):
        for package in by_hand:
            finish(package)
        packages[where] += by_hand
    packages["extra"] += [update] + [p for p in packages["base"] if p.name in IN_EXTRA]
    packages["base"] = [p for p in packages["base"] if p.name not in IN_EXTRA]
    return packages


def index(repository: Path):
    """Makes the repository's metadata; their revision follows the content, or dnf keeps old ones."""
    sums = hashlib.sha256(b"".join(hashlib.sha256(p.read_bytes()).digest() for p in sorted(repository.glob("*.rpm"))))
    revision = str(int.from_bytes(sums.digest()[:4], "big"))
    subprocess.run(["createrepo_c", "-q", "--no-database", "--revision", revision, str(repository)], check=True)


def main(folder: Path, out: Path):
    os.environ |= {"SOURCE_DATE_EPOCH": "1700000000", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    os.umask(0o022)
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="rpm-base-") as work, ThreadPoolExecutor(os.cpu_count()) as pool:
        for where, packages in all_packages(folder, Path(work)).items():
            (out / where).mkdir(parents=True)
            list(pool.map(lambda p: p.build(out / where, local.SHARED), packages))
            index(out / where)


main(Path(sys.argv[1]), Path(sys.argv[2]))
