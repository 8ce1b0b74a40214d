trap : TERM INT HUP
# updraft_end CODE END FOLDER: ends what the task left running, removes its folder if it has one of its own, and tells its code.
updraft_end() {
  {
    for updraft_stat in /proc/[0-9]*/stat; do
      IFS= read -r updraft_line < "$updraft_stat" || continue
      updraft_pid=${updraft_line%% *}
      updraft_line=${updraft_line##*) }
      # State, parent, group, session.
      updraft_line=${updraft_line#* }
      updraft_line=${updraft_line#* }
      updraft_line=${updraft_line#* }
      [ "${updraft_line%% *}" = $$ ] && [ "$updraft_pid" != $$ ] && kill -KILL "$updraft_pid"
    done
    [ -z "$3" ] || rm -rf "$3"
  } 2>/dev/null
  printf '\036%s %s\n' "$2" "$1"
  printf '\036%s %s\n' "$2" "$1" >&2
}
