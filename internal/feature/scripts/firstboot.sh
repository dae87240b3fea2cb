#!/bin/sh
# first-boot NAME: runs /var/lib/imagecustomizer/first-boot/NAME/script once. What it remembers is on the disk before
# anything is done about it: that an attempt begins, and that the script has ended, with its exit status.
cd "/var/lib/imagecustomizer/first-boot/$1" || exit 1
if [ -e settings ]; then . ./settings; fi

settle() { sync "$@" 2>/dev/null || sync; }
remember() {
  echo "$2" >"$1.new" && settle "$1.new" && mv "$1.new" "$1" && settle .
}
report() { echo "first-boot script $name: $1"; }
finish() {
  remember ended "$1" || exit 1
  rm -f settings && rm -f script && settle . # its arguments may be secret too
}

if [ -s ended ]; then # cut off between the end and this
  rm -f settings
  rm -f script
  settle .
  exit 0
fi
attempt=0
if [ -s attempt ]; then read -r attempt <attempt; fi
if [ "$attempt" -gt 0 ] && [ "$interrupt" = skip ]; then
  report "it was cut off, and is not run again" >&2
  finish "cut off"
  exit 0
fi
if [ "$attempt" -ge 10 ]; then
  report "it was cut off ten times, and is given up" >&2
  finish "cut off"
  exit 1
fi
attempt=$((attempt + 1))
remember attempt "$attempt" || exit 1

stopped=
trap 'stopped=1' TERM INT HUP
export ATTEMPT="$attempt"
cd / || exit 1
run_script
status=$?
cd "/var/lib/imagecustomizer/first-boot/$1" || exit 1
if [ "$stopped" ] && [ "$status" -ne 0 ]; then
  report "it was cut off by the end of the system" >&2
  exit 0
fi
if [ "$status" -ne 0 ]; then report "it failed with status $status" >&2; fi
finish "$status" || exit 1
exit "$status"
