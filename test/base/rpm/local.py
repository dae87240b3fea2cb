"""The packages with no Debian package behind them; most are files/NAME and specs/NAME.spec."""
from pathlib import Path

from package import Package

_IMAGE = """filesystem bash coreutils sed grep gawk findutils diffutils tar gzip bzip2 xz zstd cpio util-linux
shadow-utils procps-ng iproute iputils systemd systemd-udev dbus kmod e2fsprogs openssl ca-certificates curl rpm tdnf
system-release system-repos system-settings hostname ncurses ncurses-term less file tzdata device-mapper""".split()
_FOLDERS = """boot boot/efi dev etc etc/default etc/dracut.conf.d etc/pam.d etc/profile.d etc/systemd
etc/systemd/network etc/systemd/system etc/sysconfig etc/yum.repos.d home media mnt opt proc root run srv sys tmp usr
usr/bin usr/include usr/lib usr/lib/modules usr/lib/systemd usr/lib/systemd/system usr/lib/systemd/system-preset
usr/lib/x86_64-linux-gnu usr/libexec usr/local usr/local/bin usr/local/lib usr/local/sbin usr/local/share usr/sbin
usr/share usr/share/doc usr/share/man usr/share/misc usr/src var var/cache var/lib var/local var/log var/mail var/opt
var/spool var/tmp""".split()
_MODES = {"boot": 0o700, "boot/efi": 0o700, "root": 0o750, "tmp": 0o1777, "var/tmp": 0o1777, "proc": 0o555, "sys": 0o555}
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib", "usr/lib64": "lib",
          "var/run": "../run", "var/lock": "../run/lock", "etc/mtab": "../proc/self/mounts"}

SHARED = frozenset(f"/{folder}" for folder in _FOLDERS)


def base(work: Path) -> list[Package]:
    def new(name, version="3.0", release="1.azl3", requires=(), **more):
        package = Package(work, name, version, release, **more)
        package.requires += requires
        return package

    return [
        _filesystem(work),
        new("azurelinux-release", requires=["filesystem"]),
        new("mariner-release", "2.0", "1.cm2", ["filesystem"]),
        new("azurelinux-repos"),
        new("mariner-repos", "2.0", "1.cm2"),
        new("system-settings", requires=["filesystem"]),
        new("initramfs", requires=["bash", "coreutils"]),
        new("mkinitrd", "2.0", "1.cm2", ["bash"]),
        _tdnf(work, "3.5.8", "1.azl3"),
        _tdnf(work, "3.5.2", "1.cm2"),
        new("core-packages-base-image", requires=_IMAGE),
    ]


def _tdnf(work: Path, version: str, release: str) -> Package:
    """The stand-in behaves as the version that it has."""
    p = Package(work, "tdnf", version, release)
    p.requires += ["python3-dnf", "rpm", "gnupg2"]
    p.write("/usr/lib/tdnf/version", version + "\n")
    return p


def extra(work: Path) -> list[Package]:
    """For tests: a package in two versions, ones that trigger the initramfs, and ones that fail."""
    packages = [Package(work, name) for name in
                ("dracut-hostonly", "dracut-vrf", "fixture-broken-dep", "fixture-fail-pre", "fixture-fail-post")]
    for version in ("1.0", "2.0"):
        demo = Package(work, "fixture-demo", version)
        demo.requires.append("bash")
        demo.write("/usr/bin/fixture-demo", f"#!/bin/bash\necho fixture-demo {version}\n", 0o755)
        packages.append(demo)
    for package in packages:
        package.write(f"/usr/share/{package.name}/version", f"{package.version}\n")
    return packages


def _filesystem(work: Path) -> Package:
    p = Package(work, "filesystem", "1.1", arch="x86_64")
    p.provides += ["base-files", "setup"]
    for folder in _FOLDERS:
        p.path(folder).mkdir(parents=True, exist_ok=True)
        p.path(folder).chmod(_MODES.get(folder, 0o755))
    for path, target in _LINKS.items():
        p.link(path, target)
    for name in ("shadow", "gshadow"):
        p.attributes[f"/etc/{name}"] = "%attr(0640,root,shadow)"
    return p
