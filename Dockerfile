# The tool with every program it uses on the host: make build && docker build -t imagecustomizer .
# How to run it is in docs/containers.md.
# The base is pinned by its digest, so that the same commit gives the same image; raise it with the tag now and then.
FROM debian:12-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      btrfs-progs ca-certificates createrepo-c cryptsetup-bin dosfstools e2fsprogs erofs-utils grub-common \
      kmod lz4 mount mtools qemu-utils squashfs-tools util-linux xfsprogs xorriso xz-utils zstd \
 && rm -rf /var/lib/apt/lists/*
COPY bin/imagecustomizer /usr/local/bin/imagecustomizer
ENTRYPOINT ["imagecustomizer"]
