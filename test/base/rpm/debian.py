"""Reads Debian packages and gathers them into RPMs."""
import re
import subprocess
from collections import defaultdict
from pathlib import Path

from names import DROP, GROUPS, LEFT_OUT, rpm_name
from package import Package, merged

FIELDS = ("Package", "Version", "Architecture", "Description", "Depends", "Pre-Depends", "Provides")


class Deb:
    """One .deb file and its control fields."""

    def __init__(self, path: Path):
        self.path = path
        text = _run("dpkg-deb", "-f", path, *FIELDS)
        self.fields = dict(re.findall(r"^([\w-]+): (.*)$", text, re.M))
        self.name = self.fields["Package"]

    def version(self) -> tuple[str, str]:
        """Version and revision without what RPM does not allow in them."""
        version, _, revision = self.fields["Version"].split(":")[-1].rpartition("-")
        return tuple(re.sub(r"[^\w.+~^]", ".", part) for part in ((version, revision) if version else (revision, "0")))

    def dependencies(self):
        """Every dependency, as the list of names any of which fulfils it."""
        clauses = f'{self.fields.get("Pre-Depends", "")},{self.fields.get("Depends", "")}'.split(",")
        return [[_bare(name) for name in clause.split("|")] for clause in clauses if clause.strip()]

    def provides(self):
        return [_bare(name) for name in self.fields.get("Provides", "").split(",") if name.strip()]

    def config_files(self) -> set[str]:
        found = subprocess.run(["dpkg-deb", "-I", self.path, "conffiles"], capture_output=True, text=True)
        return {merged(line.strip()) for line in found.stdout.splitlines() if line.startswith("/")}


def _run(*command) -> str:
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


def _bare(name: str) -> str:
    return re.split(r"[ (:]", name.strip())[0]


def read(folder: Path) -> list[Deb]:
    """The packages in a folder that are not dropped."""
    return [deb for deb in map(Deb, sorted(folder.glob("*.deb"))) if deb.name not in DROP]


class Names:
    """Which RPM fulfils a Debian dependency."""

    def __init__(self, debs: list[Deb]):
        self.rpm = {name: rpm_name(deb.name) for deb in debs for name in deb.provides()}
        self.rpm |= {deb.name: rpm_name(deb.name) for deb in debs}

    def requires(self, debs: list[Deb], rpm: str) -> list[str]:
        found = []
        for clause in (clause for deb in debs for clause in deb.dependencies()):
            known = [self.rpm[name] for name in clause if name in self.rpm]
            if known and known[0] != rpm and known[0] not in found:
                found.append(known[0])
        return found


def packages(debs: list[Deb], names: Names, work: Path, dist: str) -> list[Package]:
    """The RPMs that these Debian packages become, without what is changed in them."""
    groups = defaultdict(list)
    for deb in debs:
        groups[rpm_name(deb.name)].append(deb)
    return [_package(name, group, names, work, dist) for name, group in groups.items()]


def _package(name: str, debs: list[Deb], names: Names, work: Path, dist: str) -> Package:
    main = next((deb for deb in debs if deb.name == GROUPS.get(name, [name])[0]), debs[0])
    version, revision = main.version()
    release = f"{revision}.{dist}" if name.startswith("kernel") else f"1.{dist}"
    arch = "noarch" if all(deb.fields["Architecture"] == "all" for deb in debs) else "x86_64"
    package = Package(work, name, version, release, arch)
    package.summary = main.fields["Description"].replace("%", "%%")
    package.requires = names.requires(debs, name)
    package.provides = [f"{deb.name} = {version}-{release}" for deb in debs if deb.name != name]
    for deb in debs:
        unpacked = work / "unpacked" / deb.name
        unpacked.mkdir(parents=True)
        _run("dpkg-deb", "-x", deb.path, unpacked)
        package.add(unpacked, LEFT_OUT)
        package.config |= deb.config_files()
        _run("rm", "-r", unpacked)
    if name.startswith("kernel"):
        package.substitutions["UNAME"] = main.name.removeprefix("linux-image-")
    return package
