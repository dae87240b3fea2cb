"""What Debian's packages are called as RPMs, and what is left out of them."""

# Debian packages that an RPM system has no use for. Dependencies on them are dropped too.
DROP = frozenset("""
adduser base-files debconf debugedit dirmngr dpkg gettext-base gnupg gnupg-l10n gnupg-utils gpg-agent
gpg-wks-client gpg-wks-server gpgsm gpgv init-system-helpers kpartx libfile-find-rule-perl libfreetype6 libfuse2
libgdbm-compat4 libgdbm6 libksba8 libnumber-compare-perl libperl5.36 libpng16-16 libtext-glob-perl linux-base
linux-image-6.12-cloud-amd64 linux-image-amd64 linux-image-cloud-amd64 lsb-base media-types mokutil perl perl-base perl-modules-5.36
pinentry-curses python3-dbus python3-distutils python3-lib2to3 runit-helper sensible-utils
shim-helpers-amd64-signed shim-signed-common shim-unsigned sqlite3 sysvinit-utils ucf usrmerge
""".split())

# RPM: the Debian packages it is made of; the first gives version and description.
_GROUPS = """
bzip2-libs: libbz2-1.0
cryptsetup: cryptsetup-bin
cryptsetup-libs: libcryptsetup12
curl-libs: libcurl4 libcurl3-gnutls
dbus: dbus dbus-bin dbus-daemon dbus-session-bus-common dbus-system-bus-common libdbus-1-3
device-mapper: dmsetup
device-mapper-libs: libdevmapper1.02.1
dracut: dracut-core dracut
e2fsprogs: e2fsprogs logsave
e2fsprogs-libs: libext2fs2 libss2 libcom-err2
elfutils-libelf: libelf1
expat-libs: libexpat1
file: file libmagic1 libmagic-mgc
glib: libglib2.0-0
glibc: libc6 libc-bin
gnupg2: gpg gpgconf
gpgme: libgpgme11
grub2: grub2-common grub-common
grub2-efi: grub-efi-amd64-bin
grub2-pc: grub-pc-bin
iproute: iproute2
iputils: iputils-ping
jq: jq libjq1
kmod: kmod libkmod2
krb5: libkrb5-3 libkrb5support0 libk5crypto3 libgssapi-krb5-2
libacl: libacl1
libarchive: libarchive13
libattr: libattr1
libcap: libcap2 libcap2-bin
libgcc: libgcc-s1 gcc-12-base
libpcap: libpcap0.8
libselinux: libselinux1
libsolv: libsolv1 libsolvext1
libstdc++: libstdc++6
lua-libs: liblua5.3-0
lz4: liblz4-1
ncurses: ncurses-bin
ncurses-libs: libtinfo6 libncursesw6
ncurses-term: ncurses-base
oniguruma: libonig5
openssh-clients: openssh-client
openssh-server: openssh-server openssh-sftp-server
openssl-libs: libssl3
pam: libpam-modules libpam0g libpam-modules-bin libpam-runtime
popt: libpopt0
procps-ng: procps libproc2-0
python3: python3 python3-minimal python3.11 python3.11-minimal
python3-libs: libpython3-stdlib libpython3.11 libpython3.11-minimal libpython3.11-stdlib
readline: libreadline8 readline-common
rpm: rpm rpm-common rpm2cpio
rpm-libs: librpm9 librpmio9 librpmbuild9 librpmsign9
shadow-utils: passwd login
shim: shim-signed
sqlite-libs: libsqlite3-0
systemd: systemd systemd-sysv libnss-systemd libpam-systemd libsystemd-shared libsystemd0 systemd-resolved
systemd-udev: udev libudev1
util-linux: util-linux util-linux-extra mount bsdutils fdisk
util-linux-libs: libblkid1 libmount1 libuuid1 libsmartcols1 libfdisk1
xz: xz-utils
xz-libs: liblzma5
zlib: zlib1g
zstd-libs: libzstd1
"""
GROUPS = {rpm: debs.split() for rpm, debs in (line.split(": ") for line in _GROUPS.strip().splitlines())}
_RPM_OF = {deb: rpm for rpm, debs in GROUPS.items() for deb in debs}

# Paths that are left out of every package: documentation, and what belongs to Debian's own tools.
LEFT_OUT = (
    r"/usr/share/(doc|man|info|locale|lintian|bug|doc-base|apport|zsh|initramfs-tools|runit|menu|applications|pixmaps"
    r"|gcc|bash-completion|vim|pam-configs)(/|$)"
    r"|/etc/(init\.d|sv|runit|ufw|init|apparmor\.d|apt|cron\..*|kernel|network|dhcp|ppp|rc.\.d|bash_completion\.d|dpkg)(/|$)"
    r"|/usr/lib/(NetworkManager|lsb)(/|$)|.*/__pycache__(/|$)"
    r"|/usr/lib/python3.*/(test|idlelib|lib2to3|pydoc_data|turtledemo|ensurepip)(/|$)"
)


def rpm_name(deb: str) -> str:
    """The RPM that a Debian package becomes part of."""
    if deb.startswith("linux-image-"):
        return "kernel" if "-cloud-" in deb else "kernel-generic"
    return _RPM_OF.get(deb, deb)
