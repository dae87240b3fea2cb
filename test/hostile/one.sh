# one.sh CASE: runs the script of one attack, in the image.
cd /
C=/_imageconfigs A=$C/attack A32=$C/attack32
PATH=/bin:/sbin:/usr/bin
export C A A32 PATH
pidof_tool() { # the last process called like the program, or process 1, which in the image is the program's
  found=1
  for p in /proc/[0-9]*; do
    case $(cat "$p/comm" 2>/dev/null) in imagecustomize*) found=${p#/proc/} ;; esac
  done
  echo "$found"
}
. "$C/attacks/$1/script"
