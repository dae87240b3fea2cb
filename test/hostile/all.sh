# all.sh LIST RESULT: runs the attacks that LIST names, as a script of the program's config.
C=/_imageconfigs
export PATH=/bin:/sbin:/usr/bin HOST
while read -r c; do
  timeout -s KILL 30 sh $C/one.sh "$c" >/tmp/out 2>&1
  echo "$c $? $(tr '\n' ' ' </tmp/out)"
done < "$C/$1" > "$2"
