"""What the repackaged Debian packages need changed to work, and to look, as on an RPM system."""
import os
import re
import shutil
import subprocess
from pathlib import Path

from package import Package

GRUB_MODULES = """all_video boot btrfs chain configfile cryptodisk echo efi_gop efi_uga efifwsetup ext2 fat font
gcry_rijndael gcry_sha256 gcry_sha512 gfxterm halt help iso9660 linux loadenv loopback ls lsefi luks luks2 lvm normal
part_gpt part_msdos probe read reboot regexp search search_fs_file search_fs_uuid search_label serial sleep squash4
test tpm tr true udf video xfs""".split()
SBAT = ("sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
        "grub,4,Free Software Foundation,grub,2.06,https://www.gnu.org/software/grub/\n")
GRUB_MINIMAL = ("/usr/share/grub/grub-mkconfig_lib", "/usr/sbin/grub2-probe", "/usr/sbin/grub2-mkconfig",
                "/usr/bin/grub2-editenv", "/usr/bin/grub2-script-check", "/usr/bin/grub2-file", "/usr/bin/grub2-mkrelpath")


def glibc(p: Package):
    p.requires = ["filesystem", "libgcc"]  # the real ones are circles, and filesystem must come first


def libgcc(p: Package):
    p.requires = []


def bash(p: Package):
    p.link("/usr/bin/sh", "bash")
    p.provides += ["/bin/sh", "/bin/bash"]
    p.requires.remove("debianutils")
    shutil.rmtree(p.path("/etc/skel"))


def gawk(p: Package):
    p.link("/usr/bin/awk", "gawk")


def iproute(p: Package):
    p.path("/usr/lib/x86_64-linux-gnu/tc/q_atm.so").unlink()  # its library is not a dependency


def iputils(p: Package):
    p.attributes["/usr/bin/ping"] = "%attr(0755,root,root) %caps(cap_net_raw=ep)"


def dbus(p: Package):
    p.attributes["/usr/lib/dbus-1.0/dbus-daemon-launch-helper"] = "%attr(4754,root,messagebus)"


def ca_certificates(p: Package):
    store = p.path("/usr/share/ca-certificates")
    names = sorted(str(found.relative_to(store)) for found in store.rglob("*.crt"))
    p.path("/etc/ca-certificates.conf").write_text("\n".join(names) + "\n")
    p.config.add("/etc/ca-certificates.conf")
    p.link("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt")
    p.requires += ["coreutils", "debianutils", "openssl"]


def openssh_server(p: Package):
    """Debian's names are ssh.service and ssh.socket, and it makes the host keys when it is installed."""
    p.path("/usr/share/openssh/sshd_config").rename(p.path("/etc/ssh/sshd_config"))
    p.config.add("/etc/ssh/sshd_config")
    units = "/usr/lib/systemd/system/"
    for kind in ("service", "socket"):
        p.path(f"{units}ssh.{kind}").rename(p.path(f"{units}sshd.{kind}"))
    p.edit(f"{units}sshd.service", "^Alias=.*\n", "")
    p.edit(f"{units}sshd.service", "^After=", "Wants=sshd-keygen.service\nAfter=sshd-keygen.service ")


def openssh_clients(p: Package):
    p.attributes["/usr/bin/ssh-agent"] = "%attr(0755,root,root)"  # there is no group _ssh


def chrony(p: Package):
    for name in ("chrony.conf", "chrony.keys"):
        p.path(f"/usr/share/chrony/{name}").rename(p.path(f"/etc/chrony/{name}"))
        p.config.add(f"/etc/chrony/{name}")
    for folder in ("/var/lib/chrony", "/var/log/chrony"):
        p.path(folder).mkdir(parents=True, exist_ok=True)
        p.attributes[folder] = "%attr(0750,_chrony,_chrony)"


def systemd(p: Package):
    p.requires += ["system-release", "shadow-utils", "bash", "coreutils", "systemd-udev"]


def systemd_udev(p: Package):
    p.requires = [name for name in p.requires if name != "systemd"]


def shim(p: Package):
    signed = p.path("/usr/lib/shim/shimx64.efi.signed").read_bytes()
    shutil.rmtree(p.path("/usr"))
    p.path("/boot/efi/EFI/BOOT").mkdir(parents=True)
    p.path("/boot/efi/EFI/BOOT/bootx64.efi").write_bytes(signed)
    p.requires = []


def rpm(p: Package):
    shutil.rmtree(p.path("/usr/lib/rpm/platform"))
    p.path("/var/lib/rpm").mkdir(parents=True, exist_ok=True)
    p.requires.append("bash")


def gpgme(p: Package):
    p.requires.append("gnupg2")


def dracut(p: Package):
    p.edit("/usr/bin/dracut", r"boot/initrd\.img-\$\{kernel\}", "boot/initramfs-${kernel}.img")
    p.requires += "bash coreutils cpio findutils grep gzip kmod sed systemd-udev util-linux xz zstd".split()


def kernel(p: Package):
    uname = p.substitutions["UNAME"]
    for found in p.path("/boot").iterdir():
        found.chmod(0o600)
    p.link(f"/usr/lib/modules/{uname}/vmlinuz", f"/boot/vmlinuz-{uname}")
    p.requires = ["filesystem", "system-release", "kmod", "coreutils", "bash"]


def grub2_efi(p: Package):
    p.requires = ["grub2"]
    shutil.rmtree(p.path("/usr/lib/grub/x86_64-efi/monolithic"))


def grub2_pc(p: Package):
    p.requires = ["grub2"]


def grub2(p: Package):
    """Renames grub-NAME to grub2-NAME, and its folder to /boot/grub2, in files and their texts."""
    for path in ("/usr/lib/grub", "/etc/default", "/usr/share/grub/default"):
        shutil.rmtree(p.path(path), ignore_errors=True)
    for path in ("/etc/grub.d/05_debian_theme", "/usr/bin/grub-mkfont", "/usr/bin/grub-mount"):
        p.path(path).unlink()
    names = []
    for found in [*p.path("/usr/bin").iterdir(), *p.path("/usr/sbin").iterdir()]:
        if found.name.startswith("grub-"):
            names.append(found.name[5:])
            found.rename(found.with_name(f"grub2-{found.name[5:]}"))
        else:
            found.unlink()
    tool = re.compile(r"\bgrub-(%s)\b(?!_lib)" % "|".join(sorted(map(re.escape, names), key=len, reverse=True)))
    for found in p.tree.rglob("*"):
        if found.is_file() and b"\0" not in found.read_bytes():  # a text
            text = tool.sub(r"grub2-\1", found.read_text())
            found.write_text(text.replace("/boot/grub/", "/boot/grub2/"))
    p.edit("/etc/grub.d/10_linux", r'OS="\$\{GRUB_DISTRIBUTOR\} GNU/Linux"', 'OS="${GRUB_DISTRIBUTOR}"')
    p.edit("/usr/share/grub/grub-mkconfig_lib", r"^ *dpkg --compare-versions .*$", _COMPARE)
    p.config |= {f"/etc/grub.d/{found.name}" for found in p.path("/etc/grub.d").iterdir()}
    p.requires = ["grub2-tools-minimal", "device-mapper-libs", "xz-libs", "libefivar1", "libefiboot1"]


# mkconfig asks whether a is gt or ge b; sort knows versions too
_COMPARE = r'''  test "$version_test_gt_cmp$version_test_gt_a" != "gt$version_test_gt_b" &&
  test "$(printf '%s\\n' "$version_test_gt_a" "$version_test_gt_b" | LC_ALL=C sort -V | tail -n 1)" = "$version_test_gt_a"'''


def split_grub(grub: Package, modules: Package, work: Path) -> list[Package]:
    """The further packages that GRUB is in: its configuration, what mkconfig needs, the EFI program."""
    def new(name, arch="x86_64", requires=()):
        package = Package(work, name, grub.version, grub.release, arch)
        package.requires, package.config = list(requires), grub.config
        return package

    def move(package, path):
        package.path(path).parent.mkdir(parents=True, exist_ok=True)
        grub.path(path).rename(package.path(path))

    configuration = new("grub2-configuration", "noarch", ["filesystem"])
    move(configuration, "/etc/grub.d")
    configuration.path("/etc/default/grub.d").mkdir(parents=True)
    configuration.path("/boot/grub2").mkdir(parents=True)
    configuration.path("/boot/grub2").chmod(0o700)
    minimal = new("grub2-tools-minimal", requires="""grub2-configuration bash coreutils sed grep gawk
        device-mapper-libs xz-libs libefivar1 util-linux""".split())
    for path in GRUB_MINIMAL:
        move(minimal, path)
    binary = new("grub2-efi-binary", requires=["grub2-tools-minimal"])
    mkimage(modules, binary, "grubx64.efi", "/boot/grub2")
    noprefix = new("grub2-efi-binary-noprefix", requires=["grub2-tools-minimal"])
    mkimage(modules, noprefix, "grubx64-noprefix.efi", "")
    return [configuration, minimal, binary, noprefix]


def mkimage(modules: Package, p: Package, name: str, prefix: str):
    sbat = p.top / "sbat.csv"
    sbat.write_text(SBAT)
    folder = p.path("/boot/efi/EFI/BOOT")
    folder.mkdir(parents=True)
    subprocess.run(["grub-mkimage", "-O", "x86_64-efi", "-d", modules.path("/usr/lib/grub/x86_64-efi"), "--sbat", sbat,
                    "-p", prefix, "-o", folder / name, *GRUB_MODULES], check=True)
    os.chmod(folder / name, 0o755)


def systemd_units(p: Package):
    """Has the package's units enabled or not, as presets say, when it is first installed."""
    folder = p.path("/usr/lib/systemd/system")
    units = [u.name for u in sorted(folder.glob("[!@]*.*")) if u.is_file() and not u.is_symlink()
             and "@." not in u.name and "\n[Install]" in u.read_text(errors="replace")]
    if not units or p.name in ("systemd", "systemd-udev"):
        return ""
    names = " ".join(units)
    return (f"%post\nif [ $1 = 1 ] && [ -x /usr/bin/systemctl ]; then systemctl --no-reload preset {names} || :; fi\n"
            f"%preun\nif [ $1 = 0 ]; then systemctl --no-reload disable {names} || :; fi\n")


def apply(p: Package):
    """Applies what this module has for the package, which is the function of its name."""
    change = globals().get(p.name.replace("-", "_"))
    if p.name not in ("apply", "mkimage") and callable(change):
        change(p)
