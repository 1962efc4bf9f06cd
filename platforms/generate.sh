#!/usr/bin/env bash
# Writes a made-up server as a platform file: bash platforms/generate.sh NAME CPUS [THREADS] [CLUSTER] > platforms/NAME.xml
#
# NAME     name of the board; CPUS 2 to 1024; THREADS (1) hardware threads of a core, which share its L1 and L2; CLUSTER (all) CPUs that share
#          an L3 and an interrupt controller. Cores are numbered in one piece: with two threads core 0 is cpu0 and cpu1.
# All numbers are assumed: clocks, power, caches and costs are those of the BCM2711 per thread, an L3 of 1 MiB per core at 30 ns; an interrupt
# takes 600 ns to its controller and 600 ns from there, 300 ns more to another cluster's. Routes go over routers (routing DijkstraCache), because
# a full table of 1024 CPUs would be a million lines.
set -euo pipefail
name=${1:?a name} cpus=${2:?how many CPUs} threads=${3:-1} cluster=${4:-$2}
if ((cpus < 2 || cpus > 1024 || threads < 1 || cluster < threads || cpus % cluster || cluster % threads)); then
  echo "CPUS is 2 to 1024, a multiple of CLUSTER, which is a multiple of THREADS" >&2
  exit 2
fi
# "0-3;4-7": pieces of $1 CPUs
pieces() {
  local out='' i
  for ((i = 0; i < cpus; i += $1)); do
    if (($1 == 1)); then out+=";$i"; else out+=";$i-$((i + $1 - 1))"; fi
  done
  echo "${out:1}"
}
cat <<END
<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<!-- Written by platforms/generate.sh $name $cpus $threads $cluster; all numbers are assumed, see there. -->
<platform version="4.1">
  <zone id="$name" routing="DijkstraCache">
    <prop id="costs" value="bcm2711.costs.yaml"/>
    <prop id="cache.l1d" value="level=1 kind=data size=32KiB latency=2.67ns cpus=$(pieces "$threads")"/>
    <prop id="cache.l1i" value="level=1 kind=instruction size=48KiB latency=2.67ns cpus=$(pieces "$threads")"/>
    <prop id="cache.l2" value="level=2 kind=unified size=1MiB latency=14.3ns cpus=$(pieces "$threads")"/>
    <prop id="cache.l3" value="level=3 kind=unified size=$((cluster / threads))MiB latency=30ns cpus=$(pieces "$cluster")"/>
END
for ((c = 0; c < cpus; c++)); do
  cat <<END
    <host id="cpu$c" speed="1500Mf,600Mf,1500Mf,600Mf" pstate="0">
      <prop id="wattage_per_state" value="1.6:1.6:1.6, 1.05:1.05:1.05, 0.75:0.75:0.75, 0.7:0.7:0.7"/>
      <prop id="wattage_off" value="0.7"/>
    </host>
END
done
for ((k = 0; k * cluster < cpus; k++)); do echo "    <router id=\"gic$k\"/>"; done
for ((k = 0; k * cluster < cpus; k++)); do
  for way in in out; do echo "    <link id=\"gic$k-$way\" bandwidth=\"100GBps\" latency=\"600ns\" sharing_policy=\"FATPIPE\"/>"; done
  for ((l = 0; l * cluster < cpus; l++)); do
    ((k == l)) || echo "    <link id=\"mesh$k-$l\" bandwidth=\"100GBps\" latency=\"300ns\" sharing_policy=\"FATPIPE\"/>"
  done
done
for ((c = 0; c < cpus; c++)); do
  k=$((c / cluster))
  echo "    <route src=\"cpu$c\" dst=\"gic$k\" symmetrical=\"NO\"><link_ctn id=\"gic$k-in\"/></route>"
  echo "    <route src=\"gic$k\" dst=\"cpu$c\" symmetrical=\"NO\"><link_ctn id=\"gic$k-out\"/></route>"
done
for ((k = 0; k * cluster < cpus; k++)); do
  for ((l = 0; l * cluster < cpus; l++)); do
    ((k == l)) || echo "    <route src=\"gic$k\" dst=\"gic$l\" symmetrical=\"NO\"><link_ctn id=\"mesh$k-$l\"/></route>"
  done
done
printf '  </zone>\n</platform>\n'
