# The tool with every program it uses on the host: make build && docker build -t imagecustomizer .
# How to run it is in docs/containers.md.
FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      btrfs-progs ca-certificates createrepo-c cryptsetup-bin dosfstools e2fsprogs erofs-utils grub-common \
      kmod lz4 mount mtools qemu-utils squashfs-tools util-linux xfsprogs xorriso xz-utils zstd \
 && rm -rf /var/lib/apt/lists/*
COPY bin/imagecustomizer /usr/local/bin/imagecustomizer
ENTRYPOINT ["imagecustomizer"]
