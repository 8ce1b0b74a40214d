id=$1
signal=$2
leader=
for folder in /proc/[0-9]*; do
  line=
  IFS= read -r line < "$folder/cmdline"
  case $line in *"# $id") leader=${folder#/proc/} ;; esac
done 2>/dev/null
for turn in 1 2; do
  for folder in /proc/[0-9]*; do
    IFS= read -r line < "$folder/stat" || continue
    set -- ${line##*) }
    if [ "$4" = "$leader" ] || grep -qs "UPDRAFT_ATTEMPT_ID=$id" "$folder/environ"; then
      kill "-$signal" "${folder#/proc/}"
    fi
  done
  [ "$signal" = KILL ] || break
done 2>/dev/null
exit 0
