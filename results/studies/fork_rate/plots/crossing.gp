# Drawn by forksim plot; run `gnuplot crossing.gp` in this folder to draw it again.
set terminal svg size 1000,560 font "DejaVu Sans,13" background "white" noenhanced name "crossing"
set output "crossing.svg"
set title "fork_rate: fork_to_run.p99 by rate, median and quartiles over 10 seeds"
set xlabel "rate (children a second)"
set ylabel "fork_to_run.p99 (ms, logarithmic)"
set logscale y
set format y "%.4g"
set border 3
set tics nomirror
set grid xtics ytics lt 1 lw 1 lc rgb "#c8c8c8"
set key outside right top vertical Left reverse samplen 2 spacing 1.2
plot 1 with lines lw 1.5 dt 2 lc rgb "#404040" title "limit 1.000 ms", \
     "crossing.dat" index 0 using 1:2:3:4 with yerrorlines lw 1.8 dt 1 pt 5 ps 0.7 lc rgb "#0072b2" title "kernel", \
     "crossing.dat" index 1 using 1:2:3:4 with yerrorlines lw 1.8 dt 1 pt 6 ps 0.7 lc rgb "#d55e00" title "parent_cpu", \
     "crossing.dat" index 2 using 1:2:3:4 with yerrorlines lw 1.8 dt 1 pt 7 ps 0.7 lc rgb "#009e73" title "idlest_load", \
     "crossing.dat" index 3 using 1:2:3:4 with yerrorlines lw 1.8 dt 1 pt 8 ps 0.7 lc rgb "#cc79a7" title "idlest_util", \
     "crossing.dat" index 4 using 1:2:3:4 with yerrorlines lw 1.8 dt 1 pt 9 ps 0.7 lc rgb "#e69f00" title "lowest_idle", \
     "crossing.dat" index 5 using 1:2:3:4 with yerrorlines lw 1.8 dt 1 pt 10 ps 0.7 lc rgb "#56b4e9" title "round_robin", \
     "crossing.dat" index 6 using 1:2:3:4 with yerrorlines lw 1.8 dt 1 pt 11 ps 0.7 lc rgb "#6b4c9a" title "random", \
     "crossing.dat" index 7 using 1:2:3:4 with yerrorlines lw 1.8 dt 2 pt 12 ps 0.7 lc rgb "#0072b2" title "cache_warm", \
     "crossing.dat" index 8 using 1:2:3:4 with yerrorlines lw 1.8 dt 2 pt 13 ps 0.7 lc rgb "#d55e00" title "least_queued", \
     "crossing.dat" index 9 using 1:2:3:4 with yerrorlines lw 1.8 dt 2 pt 5 ps 0.7 lc rgb "#009e73" title "pack"
unset output
set terminal pngcairo size 1000,560 font "DejaVu Sans,13" background "white" noenhanced
set output "crossing.png"
replot
unset output
