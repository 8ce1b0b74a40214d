mark=$1
id=$2
signal=$3
leader=
for folder in /proc/[0-9]*; do
  line=
  IFS= read -r line < "$folder/cmdline"
  case $line in *"$mark"*) [ "${folder#/proc/}" = $$ ] || leader=${folder#/proc/} ;; esac
done 2>/dev/null
for turn in 1 2; do
  for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    IFS= read -r line < "$folder/stat" || continue
    set -- ${line##*) }
    # The shell itself goes on, so that it can tell the end.
    [ "$pid" != "$leader" ] || continue
    if [ "$4" = "$leader" ] || grep -qs "UPDRAFT_ATTEMPT_ID=$id" "$folder/environ"; then
      kill "-$signal" "$pid"
    fi
  done
  [ "$signal" = KILL ] || break
done 2>/dev/null
exit 0
