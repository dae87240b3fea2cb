"""An RPM under construction: a tree of files, a fragment of a spec file, and rpmbuild."""
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
OWNERS = {42: "shadow", 43: "utmp", 5: "tty", 8: "mail"}  # Debian's group numbers, as names
_OPTIONS = {
    "__os_install_post": "%{nil}", "debug_package": "%{nil}", "_build_id_links": "none", "_buildhost": "fixture",
    "_binary_payload": "w3.zstdio", "use_source_date_epoch_as_buildtime": "1", "clamp_mtime_to_source_date_epoch": "1",
    "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
}
_GLOB = str.maketrans({c: f"[{c}]" for c in '[]*?{}"'} | {"%": "%%"})


def merged(path: str) -> str:
    """A Debian path on a system where /bin, /sbin, /lib and /lib64 are links into /usr."""
    path = re.sub(r"^/lib64(?=/|$)", "/lib", path)
    return re.sub(r"^/(bin|sbin|lib)(?=/|$)", r"/usr/\1", path)


class Package:
    """files/NAME and specs/NAME.spec, where they exist, are part of the package NAME."""

    def __init__(self, work: Path, name: str, version="1.0", release="1.azl3", arch="noarch", **substitutions):
        self.name, self.version, self.release, self.arch = name, version, release, arch
        self.top = work / f"{name}-{version}-{release}"
        self.tree = self.top / "tree"
        self.tree.mkdir(parents=True)
        self.summary = name
        self.requires, self.provides, self.config, self.attributes = [], [], set(), {}
        self.scripts = ""
        self.substitutions = substitutions

    def add(self, source: Path, leave_out=None):
        """Merges the tree source into the package's own."""
        for folder, folders, names in os.walk(source):
            for name in sorted(folders + names):
                found = Path(folder, name)
                path = merged("/" + str(found.relative_to(source)))
                if leave_out and re.match(leave_out, path):
                    continue
                target = self.path(path)
                if found.is_dir() and not found.is_symlink():
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.copystat(found, target)
                else:
                    self.put(found, target)

    def put(self, found: Path, target: Path):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(found, target, follow_symlinks=False)
        os.chown(target, -1, found.lstat().st_gid, follow_symlinks=False)

    def add_own_files(self):
        """Merges files/NAME; what it has in /etc is configuration."""
        own = HERE / "files" / self.name
        self.add(own)
        self.config |= {f"/{p.relative_to(own)}" for p in own.glob("etc/**/*") if p.is_file() and not p.is_symlink()}

    def path(self, path: str) -> Path:
        return self.tree / path.lstrip("/")

    def link(self, path: str, target: str):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).symlink_to(target)

    def write(self, path: str, text: str, mode=0o644):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        self.path(path).chmod(mode)

    def edit(self, path: str, pattern: str, replacement: str):
        """Replaces in a file; that there is nothing to replace is an error."""
        file = self.path(path)
        text, count = re.subn(pattern, replacement, file.read_text(), flags=re.M)
        if not count:
            raise ValueError(f"{self.name}: {path} has no {pattern}")
        file.write_text(text)

    def file_list(self, shared: frozenset) -> list[str]:
        """Lines of %files. Folders in shared belong to the package filesystem alone."""
        lines = []
        for found in sorted(self.tree.rglob("*")):
            path = "/" + str(found.relative_to(self.tree))
            status = found.lstat()
            folder = stat.S_ISDIR(status.st_mode)
            if folder and path in shared and self.name != "filesystem":
                continue
            kind = "%dir " if folder else "%config(noreplace) " if path in self.config else ""
            mode = "-" if stat.S_ISLNK(status.st_mode) else f"{stat.S_IMODE(status.st_mode):04o}"
            default = f"%attr({mode},root,{OWNERS.get(status.st_gid, 'root')})"
            lines.append(f'{kind}{self.attributes.get(path, default)} "{path.translate(_GLOB)}"')
        return lines

    def spec(self, shared: frozenset) -> str:
        """The spec file: tags, then the fragment's tags, then sections."""
        fragment = HERE / "specs" / f"{self.name}.spec"
        text = fragment.read_text() if fragment.exists() else ""
        for key, value in self.substitutions.items():
            text = text.replace(f"@{key}@", value)
        tags, scripts = re.fullmatch(r"(.*?)(^%.*)?", text, re.M | re.S).groups(default="")
        lines = [f"Name: {self.name}", f"Version: {self.version}", f"Release: {self.release}", f"Summary: {self.summary}",
                 "License: See upstream", "AutoReqProv: no"]
        lines += ["BuildArch: noarch"] if self.arch == "noarch" else []
        lines += [f"Requires: {r}" for r in self.requires] + [f"Provides: {p}" for p in self.provides]
        lines += [tags, "%description", self.summary, "%install",
                  f"rmdir %{{buildroot}} || :; mv {self.tree} %{{buildroot}}", scripts, self.scripts, "%files", *self.file_list(shared)]
        return "\n".join(lines) + "\n"

    def build(self, out: Path, shared: frozenset):
        """Writes the RPM into out. The same content gives the same bytes."""
        spec = self.top / "package.spec"
        spec.write_text(self.spec(shared))
        options = _OPTIONS | {"_topdir": str(self.top), "_rpmdir": str(out)}
        command = ["rpmbuild", "-bb", "--target", f"{self.arch}-linux", str(spec)]
        command += [word for option in options.items() for word in ("-D", " ".join(option))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"rpmbuild {self.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        shutil.rmtree(self.top)
