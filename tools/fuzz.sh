#!/usr/bin/env bash
# fuzz.sh [SECONDS [TARGET…]]: builds the fuzz targets of tests/fuzz and runs each for a minute, or so many seconds. A finding (a
# panic, a second in one input, more than 512 MB) is kept in tests/fuzz/regressions/TARGET, which every run begins with; commit
# it with its fix. Needs a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(yaml cron template)
triple=$(rustc -vV | sed -n 's/^host: //p')

# Coverage by LLVM's own pass: no nightly compiler, no sanitizer (there is no unsafe code to sanitize).
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
RUSTFLAGS="$coverage --cfg fuzzing" cargo build -q --release --locked --manifest-path tests/fuzz/Cargo.toml \
  --target "$triple" --target-dir target/fuzz

for target in "${targets[@]}"; do
  grown=target/fuzz/corpus/$target
  kept=tests/fuzz/regressions/$target
  mkdir -p "$grown" "$kept"
  seeds=("$grown" "$kept")
  # Broken files are the better seeds.
  if [ "$target" = yaml ]; then
    seeds+=(dags)
    [ ! -d ../shared/corpus ] || seeds+=(../shared/corpus)
  fi
  echo "== fuzz $target for $seconds s"
  "target/fuzz/$triple/release/$target" "${seeds[@]}" -dict="tests/fuzz/dictionaries/$target.dict" \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -max_len=8192 -artifact_prefix="$kept/" -print_final_stats=1 \
    -verbosity=0
done
