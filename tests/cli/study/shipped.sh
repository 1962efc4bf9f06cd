# A shipped study says, byte for byte, what results/studies holds: bash shipped.sh FORKSIM SOURCE STUDY
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$2"
bash tests/golden/run_study.sh "$1" "$3" "$dir"
for made in "$dir"/*/; do
  diff -r --exclude manifest.json "results/studies/$(basename "$made")" "$made" || { echo "differs: bash tests/golden/update_studies.sh build/forksim $3 accepts a change"; exit 1; }
done
