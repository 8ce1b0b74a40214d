trap : TERM INT HUP
folder=$1
own=$2
shift 2
[ "$own" != own ] || mkdir -p "$folder" || exit 126
cd "$folder" || exit 126
"$@"
code=$?
{
  for stat in /proc/[0-9]*/stat; do
    IFS= read -r line < "$stat" || continue
    pid=${line%% *}
    set -- ${line##*) }
    [ "$4" = $$ ] && [ "$pid" != $$ ] && kill -KILL "$pid"
  done
  [ "$own" != own ] || { cd / && rm -rf "$folder"; }
} 2>/dev/null
exit $code
