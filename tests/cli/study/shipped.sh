# A shipped study says, byte for byte, what results/studies holds: bash shipped.sh FORKSIM SOURCE STUDY
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$2"
"$1" sweep "workloads/studies/$3.yaml" --out "$dir/out" --quiet
for part in summary.csv report.md plots; do
  diff -r "results/studies/$3/$part" "$dir/out/$part" || { echo "differs: bash tests/golden/update_studies.sh build/forksim workloads/studies/$3.yaml accepts a change"; exit 1; }
done
