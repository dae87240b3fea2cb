"""Puts GRUB for BIOS on a disk image: boot.img into the MBR, core.img at an offset.

What grub-bios-setup does, without its device map and its dislike of loop devices. Places of the
fields are those of GRUB's include/grub/i386/pc/boot.h.
Usage: grub-bios.py DISK BOOT.IMG CORE.IMG OFFSET
"""
import struct
import sys

disk, boot_img, core_img, offset = sys.argv[1:]
sector = int(offset) // 512
boot = bytearray(open(boot_img, "rb").read()[:440])
core = bytearray(open(core_img, "rb").read())
struct.pack_into("<Q", boot, 0x5C, sector)  # where core.img begins
boot[0x66:0x68] = b"\x90\x90"  # a hard disk: trust the drive number the BIOS gives
struct.pack_into("<Q", core, 0x1F4, sector + 1)  # where its second sector is
with open(disk, "r+b") as f:
    f.write(boot)
    f.seek(int(offset))
    f.write(core)
